"""What is true of every estimator in the table, and of what is built of several of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from strategies import annotated, groups, make_group, make_step, make_table, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.base import CreditConfig, TrajectoryCredit
from agentgym.trainers.credit.bnpo import BNPO
from agentgym.trainers.credit.discounted_grpo import DiscountedGRPO
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.riskpo import RiskPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT
from agentgym.types import OUTCOME, Group, Step

pytestmark = pytest.mark.slow

VARIANTS: list[CreditConfig] = [
    *(estimator() for estimator in CREDITS.values()),
    GRPO(singletons="raw"),
    RLOO(singletons="raw"),
    GiGPO(norm="mean_norm", base=DrGRPO()),
    GiGPO(base=GRPO(cross_steps=True, singletons="raw")),
    GiGPO(norm="mean_norm", base=RLOO(), gamma=1.0, step_weight=0.5),
    GiGPO(anchors="similar"),
    SALT(base=RLOO(), history=1),
    RiskPO(bundle=2, share="sum-mean"),
]
TOKENS = {"reinforce_pp", "gae", "bilevel_gae"}
"""They give each token its own."""
OWN_SIGNAL = {"gdpo", "igpo", "istar", "prorag", "turn_gae", "gae", "bilevel_gae"}
"""They look at raw terms, or at a column, beside the rewards."""
ABSOLUTE = {"ngrpo", "reinforce_ada"}
"""Compared with what is not in the group: a success, all samples drawn."""
WITHIN = {"reinforce_pp", "td_state", "g2po"}
"""They compare the steps of one trajectory with each other."""

BASES = [kind for kind in CREDITS.values() if issubclass(kind, TrajectoryCredit)]
WEIGHTINGS = [CREDITS["empg"], CREDITS["duration_aware"]]
REFINEMENTS = [
    kind for kind in CREDITS.values() if "base" in kind.model_fields and kind not in WEIGHTINGS
]
SWITCHES: dict[str, dict[str, object]] = {"hgpo": {"with_base": True}, "graft": {"base_weight": 1}}
"""What lets the base of a refinement count at all."""


def build_on(base: CreditConfig, name: str) -> CreditConfig:
    """The method of this name on a base."""
    return CREDITS[name].model_validate({"base": base, **SWITCHES.get(name, {})})


@st.composite
def compositions(draw: st.DrawFn) -> CreditConfig:
    """A base, mostly a refinement of it, and mostly a weighting of that."""
    credit: CreditConfig = draw(st.sampled_from(BASES))()
    for kinds in (REFINEMENTS, WEIGHTINGS):
        if kind := draw(st.sampled_from([*kinds, None])):
            credit = build_on(credit, kind.model_fields["name"].default)
    return credit


def methods() -> st.SearchStrategy[list[CreditConfig]]:
    """Every variant and some compositions: drawing a batch costs more than estimating."""
    return st.lists(compositions(), min_size=3, max_size=3).map(lambda drawn: VARIANTS + drawn)


# Changes of a batch that the advantages of what is left in it do not show


def _map_steps(batch: list[Group], change: Callable[[int, Step], Step]) -> list[Group]:
    """Put `change` of position and step in the place of each step."""
    return [
        Group(
            group.task,
            [
                replace(trajectory, steps=[change(t, s) for t, s in enumerate(trajectory.steps)])
                for trajectory in group.trajectories
            ],
        )
        for group in batch
    ]


def _shuffle_members(batch: list[Group], random: Random) -> list[Group]:
    return [
        Group(each.task, random.sample(each.trajectories, len(each.trajectories))) for each in batch
    ]


def _shuffle_groups(batch: list[Group], random: Random) -> list[Group]:
    return random.sample(batch, len(batch))


def _take_one(batch: list[Group], random: Random) -> list[Group]:
    return [random.choice(batch)]


def _double(batch: list[Group], random: Random) -> list[Group]:
    return [*batch, *batch]


def _shift(batch: list[Group], random: Random) -> list[Group]:
    """Pay every trajectory as much more, at its first step."""
    more = random.randint(1, 16) / 8
    return _map_steps(
        batch, lambda t, step: _earn(step, step.reward_terms[OUTCOME] + more * (t == 0))
    )


def _scale(batch: list[Group], random: Random) -> list[Group]:
    return _map_steps(batch, lambda t, step: _earn(step, step.reward_terms[OUTCOME] * 8))


def _drop_keys(batch: list[Group], random: Random) -> list[Group]:
    return _map_steps(batch, lambda t, step: replace(step, state_key=None, next_state_key=None))


def _earn(step: Step, reward: float) -> Step:
    return replace(step, reward_terms={**step.reward_terms, OUTCOME: reward})


Change = Callable[[list[Group], Random], list[Group]]
CHANGES: dict[str, Change] = {
    "members in another order": _shuffle_members,
    "groups in another order": _shuffle_groups,
    "one group alone": _take_one,
    "every group twice": _double,
    "returns shifted": _shift,
    "rewards scaled": _scale,
    "no keys of states": _drop_keys,
}

# Batches, or trajectories of one, whose advantages are 0


def _earn_nothing(batch: list[Group]) -> list[Group]:
    return _map_steps(
        batch, lambda t, step: replace(step, reward_terms=dict.fromkeys(step.reward_terms, 0.0))
    )


def _earn_alike(batch: list[Group]) -> list[Group]:
    """Equal returns in each group, wherever in a trajectory the rewards lie."""
    alike = []
    for number, group in enumerate(batch):
        members = []
        for trajectory in group.trajectories:
            first, *others = trajectory.steps
            rest = sum(step.reward_terms[OUTCOME] for step in others)
            steps = [_earn(first, number / 2 - rest), *others]
            members.append(replace(trajectory, steps=[_keep_outcome(step) for step in steps]))
        alike.append(Group(group.task, members))
    return alike


def _keep_outcome(step: Step) -> Step:
    return replace(step, reward_terms={OUTCOME: step.reward_terms[OUTCOME], "match": 0.0})


def _stay(batch: list[Group]) -> list[Group]:
    return batch


ZEROS: dict[str, Callable[[list[Group]], list[Group]]] = {
    "nothing earned": _earn_nothing,
    "equal returns": _earn_alike,
    "group of one": _stay,
}

WHITENS = "standardises over the batch"
COLUMN = "looks at a column beside the rewards"
ITSELF = "compares the steps of a trajectory with each other"
DISCOUNTS = "tells early rewards from late ones"
KEYS = "groups steps by their keys"
LINEAR = "is proportional to the rewards"
ABSOLUTELY = "has a number that rewards are compared with"

EXCEPT: dict[str, dict[str, str]] = {
    "members in another order": {"riskpo": "judges the j-th members of a bundle together"},
    "groups in another order": {"riskpo": "bundles groups in their order"},
    "one group alone": {
        **dict.fromkeys(["reinforce_pp", "reinforce_pp_baseline", "gae", "gdpo", "empg"], WHITENS),
        "bnpo": "weighs a pass rate by those of the batch",
        "copo": "compares groups",
        "riskpo": "judges groups together",
        "duration_aware": "divides by the mean of the batch",
    },
    "every group twice": {
        **dict.fromkeys(["reinforce_pp", "reinforce_pp_baseline", "gae", "gdpo"], WHITENS),
        "bnpo": "its variance of pass rates is the unbiased one",
        "copo": "its variance of groups is the unbiased one",
        "riskpo": "bundles other groups",
    },
    "returns shifted": {
        **dict.fromkeys(["gigpo", "hgpo", "graft", "g2po", "td_state"], DISCOUNTS),
        **dict.fromkeys(["gae", "bilevel_gae", "turn_gae", "reinforce_pp"], DISCOUNTS),
        **dict.fromkeys(["ngrpo", "bnpo", "copo", "graph_gpo"], ABSOLUTELY),
        "igpo": "mixes returns with gains of information",
    },
    "rewards scaled": {
        **dict.fromkeys(["rloo", "dr_grpo", "opo", "reinforce_ada"], LINEAR),
        **dict.fromkeys(["td_state", "portool"], "its part of the step is proportional"),
        **dict.fromkeys(["ngrpo", "bnpo", "asymre", "opmd"], ABSOLUTELY),
        **dict.fromkeys(["gae", "bilevel_gae", "turn_gae", "igpo"], COLUMN),
    },
    "no keys of states": dict.fromkeys(
        ["gigpo", "hgpo", "graph_gpo", "g2po", "graft", "salt", "td_state", "portool"], KEYS
    ),
    "nothing earned": {
        **dict.fromkeys(["istar", "prorag", "igpo", "gae", "bilevel_gae", "turn_gae"], COLUMN),
        "ngrpo": ABSOLUTELY,
    },
    "equal returns": {
        **dict.fromkeys(["gigpo", "hgpo", "graph_gpo", "g2po", "graft", "td_state"], ITSELF),
        **dict.fromkeys(["discounted_grpo", "reinforce_pp", "ui_s1"], DISCOUNTS),
        **dict.fromkeys(["istar", "prorag", "igpo", "gae", "bilevel_gae", "turn_gae"], COLUMN),
        "ngrpo": ABSOLUTELY,
        "copo": "compares groups",
    },
    "group of one": {
        **dict.fromkeys(["gigpo", "hgpo", "graph_gpo", "g2po", "graft", "td_state"], ITSELF),
        **dict.fromkeys(["istar", "prorag", "igpo", "gae", "bilevel_gae", "turn_gae"], COLUMN),
        "reinforce_pp": "knows no groups",
        "empg": WHITENS,
    },
}
"""Under each property, the methods that do not have it, and why."""
WITHOUT_RAW = {"returns shifted", "rewards scaled", "equal returns", "group of one"}
"""Properties that a method loses with `singletons = "raw"`."""


def has(credit: CreditConfig, name: str) -> bool:
    """Whether the method has a property: it has if all that it is built of have it."""
    raw = any(getattr(part, "singletons", "zero") == "raw" for part in credit.parts())
    if raw and name in WITHOUT_RAW:
        return False
    return not any(part.name in EXCEPT[name] for part in credit.parts())


def as_table(batch: Sequence[Group]) -> StepTable:
    """The table of the batch, with every column."""
    return annotated(build_table(batch))


def advantages(credit: CreditConfig, table: StepTable) -> dict[str, list[float]]:
    """Of the sampled tokens by the id of the trajectory: what no token has trains nothing."""
    found = credit(table, table.term(OUTCOME))
    if credit.name not in TOKENS:
        found = np.repeat(found, np.diff(table.token_start))
    parts = np.split(found, table.token_start[table.step_start[1:-1]])
    return {id: part.tolist() for id, part in zip(table.trajectory_ids, parts, strict=True)}


def agree(found: dict[str, list[float]], expected: dict[str, list[float]], name: str) -> bool:
    """Of all trajectories that both have. Sums in another order differ by rounding, which the
    division by a std magnifies; beside larger rewards what is added to it is smaller."""
    tolerance = 0.02 if name == "rewards scaled" else 1e-8
    return all(
        np.allclose(found[id], expected[id], rtol=0, atol=tolerance)
        for id in found.keys() & expected
    )


def zeros_are(credit: CreditConfig, name: str, table: StepTable) -> bool:
    """Whether all advantages that should be 0 by this property are."""
    size = np.bincount(table.group)[table.group]
    judged = {
        id
        for id, members in zip(table.trajectory_ids, size.tolist(), strict=True)
        if name != "group of one" or members == 1
    }
    found = advantages(credit, table)
    return all(np.allclose(found[id], 0.0, rtol=0, atol=1e-9) for id in judged)


def before_and_after(name: str, batch: list[Group], random: Random) -> tuple[StepTable, StepTable]:
    """The table of the batch, and of the changed one."""
    if name == "rewards scaled":  # large enough beside the 1e-6, and no term to cancel them
        batch = CHANGES[name](_map_steps(batch, lambda t, step: _keep_outcome(step)), random)
    return as_table(batch), as_table(CHANGES[name](batch, random))


@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=50)
@given(batch=groups(), credits=methods(), random=st.randoms(use_true_random=False))
def test_advantages_stay(
    name: str, batch: list[Group], credits: list[CreditConfig], random: Random
) -> None:
    before, after = before_and_after(name, batch, random)
    for credit in credits:
        if has(credit, name):
            assert agree(advantages(credit, after), advantages(credit, before), name), credit


@pytest.mark.parametrize("name", ZEROS)
@settings(max_examples=50)
@given(batch=groups(), credits=methods())
def test_advantages_are_zero(name: str, batch: list[Group], credits: list[CreditConfig]) -> None:
    table = as_table(ZEROS[name](batch))
    for credit in credits:
        if has(credit, name):
            assert zeros_are(credit, name, table), credit


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, without in EXCEPT.items() for method in without]
)
def test_no_method_is_excepted_that_has_the_property(name: str, method: str) -> None:
    credit, random = CREDITS[method](), Random(0)
    holds = []
    for _ in range(10):
        batch = _walk_about(random)
        if name in ZEROS:
            holds.append(zeros_are(credit, name, as_table(ZEROS[name](batch))))
        else:
            before, after = before_and_after(name, batch, random)
            holds.append(agree(advantages(credit, after), advantages(credit, before), name))
    assert not all(holds)


@given(groups(), st.sampled_from(["rloo", "dr_grpo", "opo", "reinforce_ada"]))
def test_undivided_advantages_are_proportional(batch: list[Group], name: str) -> None:
    """And so is what only averages them, or adds what is proportional too."""
    base, table, larger = CREDITS[name](), as_table(batch), as_table(_scale(batch, Random(0)))
    for credit in (base, *(build_on(base, each) for each in ("salt", "td_state", "portool"))):
        scaled = advantages(credit, larger)
        for id, values in advantages(credit, table).items():
            assert scaled[id] == pytest.approx(np.multiply(values, 8), abs=1e-9), credit


@given(groups(), st.sampled_from(BASES))
def test_without_keys_the_base_is_left(batch: list[Group], kind: type[CreditConfig]) -> None:
    table, base = as_table(_drop_keys(batch, Random(0))), kind()
    rewards = table.term(OUTCOME)
    expected = pytest.approx(base(table, rewards), abs=1e-9)
    for name in ("gigpo", "graph_gpo", "salt", "td_state", "graft"):
        assert build_on(base, name)(table, rewards) == expected, name
    assert not CREDITS["hgpo"]()(table, rewards).any()


@pytest.mark.parametrize("credit", VARIANTS, ids=lambda credit: credit.name)
def test_one_success_of_five_is_reinforced(credit: CreditConfig) -> None:
    """And by no more than a few: the spread of a group with a minority is small."""
    walks = [[make_step(state="a", action="y", outcome=0.0, match=1.0)] for _ in range(4)]
    table = build_table(
        [make_group(*walks, [make_step(state="a", action="x", outcome=1.0, match=1.0)])]
    )
    same = {name: np.full(5, 0.25) for name in ("entropy", "value", "process_reward", "duration")}
    table = replace(
        annotated(table), answer_logprob=np.full(5, -1.0), token_value=np.full(10, 0.25), **same
    )
    *failures, success = advantages(credit, table).values()
    assert min(success) > 0
    assert max(success) <= 6
    assert min(map(min, failures)) >= -6
    assert max(map(max, failures)) <= 0


@given(tables(rewards=st.floats(-5, 5)), methods())
def test_every_step_gets_a_finite_float64(table: StepTable, credits: list[CreditConfig]) -> None:
    table = annotated(table)
    for credit in credits:
        found = credit(table, table.term(OUTCOME))
        size = int(table.token_start[-1]) if credit.name in TOKENS else table.num_steps
        assert found.shape == (size,), credit
        assert found.dtype == np.float64, credit
        assert np.isfinite(found).all(), credit


@pytest.mark.parametrize("credit", VARIANTS, ids=lambda credit: credit.name)
def test_a_batch_of_nothing_has_no_advantages(credit: CreditConfig) -> None:
    assert credit(annotated(build_table([])), np.zeros(0)).shape == (0,)


@given(tables())
def test_inputs_are_left_alone(table: StepTable) -> None:
    table = annotated(table)
    rewards = table.term(OUTCOME).copy()
    rewards.flags.writeable = False
    for column in vars(table).values():
        if isinstance(column, np.ndarray):
            column.flags.writeable = False
    for credit in VARIANTS:
        assert credit(table, rewards).tolist() == credit(table, rewards).tolist(), credit


@given(st.floats(-5, 5), st.integers(2, 5), st.integers(1, 5), st.booleans())
def test_equal_trajectories_give_zeros(
    reward: float, size: int, length: int, has_states: bool
) -> None:
    """Equal in length as well, as a discount tells lengths apart; with or without keys."""
    episode = [
        make_step(state=f"s{t}" if has_states else None, action="x", outcome=reward)
        for t in range(length)
    ]
    table = annotated(build_table([make_group(*[episode] * size)]))
    for credit in VARIANTS:
        if credit.name in ABSOLUTE | OWN_SIGNAL | WITHIN:
            continue
        assert not credit(table, table.term(OUTCOME)).any(), credit


@given(tables())
def test_trajectories_of_a_group_sum_to_zero(table: StepTable) -> None:
    for credit in (GRPO(), RLOO(), DiscountedGRPO(), GiGPO(step_weight=0.0)):
        firsts = credit(table, table.term(OUTCOME))[table.step_start[:-1]]
        sums = np.bincount(table.group, weights=firsts)
        assert sums == pytest.approx(0.0, abs=1e-9), credit


def test_pass_rates_that_hardly_differ_are_weighed() -> None:
    """By the height of a narrow peak: Beta(p; 526, 1545), whose normaliser alone overflows."""
    table = make_table([[1.0], [0.0], [0.0], [0.0]], [[1.0], [0.03125], [0.0], [0.0]])
    found = BNPO()(table, table.term(OUTCOME))
    assert found[0] == pytest.approx(0.75 / 38.34784, rel=1e-5)


@given(tables())
def test_grpo_on_discounted_returns_without_a_discount_is_grpo(table: StepTable) -> None:
    rewards = table.term(OUTCOME)
    expected = pytest.approx(GRPO()(table, rewards), abs=1e-9)
    assert DiscountedGRPO(gamma=1.0)(table, rewards) == expected


def _walk_about(random: Random) -> list[Group]:
    """Seven groups, of which the first has one trajectory."""
    sizes = [1, *(random.randint(2, 4) for _ in range(6))]
    return [
        make_group(*(_episode(random) for _ in range(size)), name=f"g{number}")
        for number, size in enumerate(sizes)
    ]


def _episode(random: Random) -> list[Step]:
    keys = [random.choice("AB") for _ in range(random.randint(2, 6))]
    return [
        make_step(
            state=before,
            action=random.choice("xy"),
            next_state=after,
            num_tokens=random.randint(1, 3),
            **{OUTCOME: random.randint(-8, 8) / 8, "match": float(random.randint(0, 1))},
        )
        for before, after in pairwise(keys)
    ]
