import ast
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError
from strategies import annotated, by_trajectory, make_group, make_step, make_table, tables

import agentgym.trainers
from agentgym.errors import ConfigError
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit import CREDITS, AnyCredit
from agentgym.trainers.credit.asymre import AsymRE
from agentgym.trainers.credit.base import (
    CreditConfig,
    Sureness,
    center,
    discounted_returns,
    equal_groups,
    group_stats,
    leave_one_out,
    number_rows,
    unshared,
)
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.duration import DurationAware
from agentgym.trainers.credit.empg import EMPG
from agentgym.trainers.credit.gdpo import GDPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.hgpo import HGPO
from agentgym.trainers.credit.portool import PORTool
from agentgym.trainers.credit.prorag import ProRAG
from agentgym.trainers.credit.reinforce_ada import ReinforceAda
from agentgym.trainers.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentgym.trainers.credit.riskpo import RiskPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.ui_s1 import UIS1

_VALUES = st.floats(-5, 5, allow_subnormal=False)
_GROUPED = st.lists(st.tuples(_VALUES, st.integers(0, 3)), min_size=1, max_size=12)


class _NeedsEntropy(GRPO):
    requires = ("entropy",)


@given(tables(), st.floats(0.05, 1.0))
def test_discounted_returns_agree_with_the_recursion(table: StepTable, gamma: float) -> None:
    """G_t = r_t + gamma G_{t+1}, from the end of each trajectory."""
    rewards = table.term("outcome")
    expected = {}
    for name, values in by_trajectory(table, rewards).items():
        total, returns = 0.0, []
        for reward in reversed(values):
            total = reward + gamma * total
            returns.append(total)
        expected[name] = pytest.approx(returns[::-1], abs=1e-12)
    assert by_trajectory(table, discounted_returns(table, rewards, gamma=gamma)) == expected


def test_discounted_returns_stay_exact_over_long_trajectories() -> None:
    """A reward of 1 at the end of 1,000 steps is worth gamma^999 at the first."""
    table = make_table([[0.0] * 999 + [1.0], [0.0, 1.0]])
    returns = discounted_returns(table, table.term("outcome"), gamma=0.95)
    np.testing.assert_allclose(returns[:1000], 0.95 ** np.arange(999, -1, -1), rtol=1e-12)
    assert returns[1000:].tolist() == [0.95, 1.0]


def test_discounted_returns_leave_the_rewards_alone() -> None:
    table = make_table([[1.0, 1.0]])
    rewards = table.term("outcome").copy()
    discounted_returns(table, rewards, gamma=0.5)
    assert rewards.tolist() == [1.0, 1.0]


@given(_GROUPED)
def test_group_statistics_agree_with_numpy(rows: list[tuple[float, int]]) -> None:
    values, groups = _columns(rows)
    stats = group_stats(values, groups)
    for group in range(groups.max() + 1):
        members = values[groups == group]
        assert stats.size[group] == len(members)
        if len(members):
            assert stats.mean[group] == pytest.approx(members.mean(), abs=1e-12)
        std = members.std(ddof=1) if len(members) > 1 else 0.0
        assert stats.std[group] == pytest.approx(std, abs=1e-12)


@pytest.mark.parametrize("scale", [False, True])
@given(value=_VALUES, size=st.integers(1, 9))
def test_equal_values_center_to_exactly_zero(scale: bool, value: float, size: int) -> None:
    """Not to rounding errors: three times 0.1 has a mean that is not 0.1."""
    centered = center(np.full(size, value), np.zeros(size, dtype=np.int64), scale=scale)
    assert (centered == 0.0).all()


@given(_GROUPED)
def test_leaving_one_out_agrees_with_the_mean_of_the_others(
    rows: list[tuple[float, int]],
) -> None:
    values, groups = _columns(rows)
    advantages = leave_one_out(values, groups)
    for i, value in enumerate(values):
        others = [v for j, v in enumerate(values) if groups[j] == groups[i] and j != i]
        expected = value - np.mean(others) if others else 0.0
        assert advantages[i] == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12))
def test_rows_have_equal_numbers_when_they_are_equal(rows: list[tuple[int, int]]) -> None:
    first = np.array([row[0] for row in rows], dtype=np.int64)
    second = np.array([row[1] for row in rows], dtype=np.int64)
    numbers = number_rows(first, second)
    known: dict[int, tuple[int, int]] = {}
    for number, row in zip(numbers.tolist(), rows, strict=True):
        assert known.setdefault(number, row) == row
    assert sorted(known) == list(range(len(set(rows))))


def test_missing_keys_are_shared_with_nobody() -> None:
    keys = unshared(np.array([0, -1, 0, -1, 1]))
    assert keys[0] == keys[2]
    assert len(set(keys.tolist())) == 4


@given(tables())
def test_groups_are_equal_when_their_returns_are(table: StepTable) -> None:
    rewards = table.term("outcome")
    returns = defaultdict(set)
    for group, total in zip(table.group.tolist(), table.per_trajectory(rewards), strict=True):
        returns[group].add(float(total))
    expected = [len(returns[group]) == 1 for group in range(table.num_groups)]
    assert equal_groups(table, rewards).tolist() == expected


@pytest.mark.parametrize("name", CREDITS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_finite_names_its_trajectory(name: str, bad: float) -> None:
    table = annotated(make_table([[0.0, 1.0], [0.0, 1.0]]))
    rewards = np.array([0.0, 1.0, 0.0, bad])
    with pytest.raises(ValueError, match=r"'g0/1' has the reward .* at step 1"):
        CREDITS[name]()(table, rewards)


def test_rewards_must_match_the_table() -> None:
    with pytest.raises(ValueError, match="expected 2 rewards"):
        GRPO()(make_table([[0.0, 1.0]]), np.zeros(3))


@pytest.mark.parametrize("credit", [_NeedsEntropy(), EMPG(), DurationAware(base=ReinforceAda())])
def test_a_missing_column_is_a_configuration_error(credit: CreditConfig) -> None:
    with pytest.raises(ConfigError, match=f"needs the column '{credit.columns[0]}'"):
        credit(make_table([[0.0]]), np.zeros(1))


def test_what_an_estimator_is_built_on_is_checked_too() -> None:
    table, gigpo = make_table([[0.0]]), GiGPO(base=ReinforceAda())
    with pytest.raises(ConfigError, match="ReinforceAda needs the column 'pool_mean'"):
        gigpo(table, np.zeros(1))
    with pytest.raises(ValueError, match="expected 1 values of 'pool_mean'"):
        gigpo(replace(table, pool_mean=np.zeros(2)), np.zeros(1))


@pytest.mark.parametrize("name", [name for name in CREDITS if CREDITS[name].requires])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e155])
def test_a_column_with_a_number_that_is_none_is_refused(name: str, bad: float) -> None:
    table = annotated(make_table([[0.0, 1.0], [0.0, 1.0]]))
    for column in CREDITS[name].requires:
        values = getattr(table, column).copy()
        values[-1] = bad
        with pytest.raises(ValueError, match=re.escape(f"'{column}' has {bad} at row")):
            CREDITS[name]()(replace(table, **{column: values}), table.term("outcome"))
        with pytest.raises(ValueError, match=f"expected {len(values)} values of '{column}'"):
            CREDITS[name]()(replace(table, **{column: values[:1]}), table.term("outcome"))


def test_a_raw_term_that_is_not_finite_is_refused_by_what_reads_it() -> None:
    table = make_table([[0.0, 1.0], [0.0, 0.0]])
    rewards = table.term("outcome").copy()
    table.terms[1] = np.nan
    with pytest.raises(ValueError, match="'term outcome' has nan at row 1"):
        GiGPO(base=GDPO())(table, rewards)
    assert np.isfinite(GiGPO()(table, rewards)).all()


@pytest.mark.parametrize("credit", [UIS1(), GDPO(weights={"outcom": 1.0}), EMPG(base=UIS1())])
def test_terms_that_no_environment_gave_are_refused(credit: CreditConfig) -> None:
    table = annotated(make_table([[0.0], [1.0]]))
    table = replace(table, term_names=("outcome", "matched"))
    with pytest.raises(ConfigError, match="have the terms 'outcome', 'matched' only"):
        credit(table, table.term("outcome"))


def test_a_batch_without_the_end_of_an_episode_has_no_outcome_and_is_not_refused() -> None:
    table = replace(make_table([[0.0], [1.0]]), term_names=("format",))
    assert GDPO(weights={"outcome": 1.0})(table, np.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("large", [1e101, 1e155, 1e308])
def test_a_reward_too_large_to_be_squared_is_refused(large: float) -> None:
    with pytest.raises(ValueError, match=r"expected one from -1e\+100 to 1e\+100"):
        GRPO()(make_table([[large], [0.0]]), np.array([large, 0.0]))


@given(tables(rewards=st.sampled_from([0.0, 1e99, -1e99, 1e-300])))
def test_rewards_as_large_as_may_be_give_finite_advantages(table: StepTable) -> None:
    table = annotated(table)
    for estimator in CREDITS.values():
        estimator()(table, table.term("outcome"))


def test_settings_out_of_proportion_give_an_error_and_no_nan() -> None:
    gigpo = GiGPO(norm="mean_norm", step_weight=1e300)
    table = build_table([make_group(*([make_step(state="s", outcome=r)] for r in (1e90, 0.0)))])
    with pytest.raises(ValueError, match=r"not finite, of inputs that are.*step_weight=1e\+300"):
        gigpo(table, table.term("outcome"))


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "setting",
    ["gigpo step_weight", "prorag beta", "hgpo alpha", "opmd tau", "mc_grpo limit"],
)
def test_settings_are_finite(setting: str, bad: float) -> None:
    name, key = setting.split()
    with pytest.raises(ValidationError, match="finite number"):
        CREDITS[name].model_validate({key: bad})
    with pytest.raises(ValidationError, match="finite number"):
        GDPO(weights={"outcome": bad})


@pytest.mark.parametrize("name", CREDITS)
def test_the_union_reads_every_estimator_of_the_table(name: str) -> None:
    estimator = TypeAdapter[CreditConfig](AnyCredit).validate_python({"name": name})
    assert type(estimator) is CREDITS[name]


def test_an_unknown_estimator_is_told_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="gigpo"):
        TypeAdapter(AnyCredit).validate_python({"name": "gigp"})


@pytest.mark.parametrize("name", CREDITS)
def test_a_key_that_does_not_exist_is_an_error(name: str) -> None:
    with pytest.raises(ValidationError, match="no_such_key"):
        CREDITS[name].model_validate({"no_such_key": 1})


@pytest.mark.parametrize("area", ["credit", "shaping"])
def test_methods_import_their_own_package_rewards_and_errors_alone_of_ours(area: str) -> None:
    folder = Path(agentgym.trainers.__file__).parent / area
    for path in folder.glob("*.py"):
        if path.name in ("__init__.py", "base.py"):
            continue
        modules = [
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agentgym")
        ]
        own = (f"agentgym.trainers.{area}.", "agentgym.rewards", "agentgym.errors")
        assert [name for name in modules if not name.startswith(own)] == [], path.name


def test_a_truncated_trajectory_counts_as_a_terminated_one() -> None:
    group = make_group([make_step(state="a", outcome=1.0)], [make_step(state="a", outcome=0.0)])
    table = build_table([group])
    group.trajectories[1].end = "truncated"
    table, truncated = annotated(table), annotated(build_table([group]))
    for estimator in CREDITS.values():
        rewards = table.term("outcome")
        assert estimator()(table, rewards).tolist() == estimator()(truncated, rewards).tolist()


def test_the_same_rewards_in_another_order_are_equal_returns() -> None:
    """Their sums differ by rounding: .1 + .2 + .3 is above .3 + .2 + .1."""
    steps = [[make_step(state="s", outcome=r) for r in way] for way in (_TENTHS, _TENTHS[::-1])]
    for large in (1.0, 1e9):
        table = annotated(build_table([make_group(*steps)]))
        rewards = table.term("outcome") * large
        assert equal_groups(table, rewards).tolist() == [True]
        assert not AsymRE()(table, rewards).any()
        assert not EMPG(base=DrGRPO())(table, rewards / large).any()


def test_a_difference_by_rounding_is_no_depth_of_hgpo() -> None:
    """The first steps are equal but for rounding; the last ones tell the trajectories apart."""
    ways = [[*_TENTHS, 1.0], [*_TENTHS[::-1], 1.0]]
    steps = [[make_step(state=f"s{t}", outcome=r) for t, r in enumerate(way)] for way in ways]
    table = build_table([make_group(*steps)])
    hgpo = HGPO(gamma=1.0, norm="mean_norm", history=0)
    first = table.step == 0
    assert not hgpo(table, table.term("outcome"))[first].any()
    based = HGPO(gamma=1.0, norm="mean_norm", history=0, with_base=True, base=DrGRPO())
    exact = pytest.approx(hgpo(table, table.term("outcome")), abs=1e-9)
    assert based(table, table.term("outcome")) == exact


def test_statistics_of_steps_are_over_those_with_tokens() -> None:
    """The third trajectory sampled nothing; without any token at all, all of them count."""
    for sizes, expected in (((2, 2, 0), [0.5, -0.5, 0.0]), ((0, 0, 0), [-1.0, -2.0, 3.0])):
        rewards = (1.0, 0.0, 5.0)
        steps = [
            [make_step(state="s", num_tokens=size, outcome=reward)]
            for size, reward in zip(sizes, rewards, strict=True)
        ]
        table = build_table([make_group(*steps)])
        gigpo = GiGPO(norm="mean_norm")
        assert gigpo.step_advantages(table, table.term("outcome")).tolist() == expected


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("riskpo", {"low": 0.8, "high": 0.2}, "low is 0.8 and high 0.2"),
        ("riskpo", {"low": 0.5, "high": 0.5}, "it must be less"),
        ("gigpo", {"base": {"name": "rloo"}, "compat": True}, "leave one of them out"),
        ("gigpo", {"base": {"name": "grpo"}, "compat": True}, "leave one of them out"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    name: str, settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        CREDITS[name].model_validate(settings)


def test_settings_as_a_record_has_them_in_full_are_read_again() -> None:
    """With the base that plays no part, or that is the reference's."""
    reference = DrGRPO(cross_steps=True, singletons="raw")
    for credit in (
        HGPO(base=DrGRPO()),
        GiGPO(compat=True),
        GiGPO(compat=True, norm="mean_norm", base=reference),
    ):
        assert type(credit).model_validate(credit.model_dump()) == credit


@pytest.mark.parametrize("kind", [ReinforcePPBaseline, RiskPO])
def test_a_group_of_one_is_compared_with_no_other_group(
    kind: type[ReinforcePPBaseline] | type[RiskPO],
) -> None:
    """Nor does it move the statistics of the batch, as long as it is not asked for."""
    groups = [[1.0], [0.0], [0.5]], [[3.0]]
    table = make_table(*groups)
    rewards = table.term("outcome")
    advantages = kind()(table, rewards)
    alone = make_table(groups[0])
    expected = [*kind()(alone, alone.term("outcome")), 0.0]
    assert advantages == pytest.approx(expected, abs=1e-12)
    assert kind(singletons="raw")(table, rewards)[-1] != 0.0


def test_a_trajectory_without_tokens_has_no_advantage_over_tokens() -> None:
    """The only token is that of the second one: nothing varies."""
    steps = [[make_step(num_tokens=size, outcome=float(size))] for size in (0, 1)]
    table = build_table([make_group(*steps)])
    assert ReinforcePPBaseline()(table, table.term("outcome")).tolist() == [0.0, 0.0]


def test_prorag_can_be_built_on_another_base() -> None:
    table = annotated(make_table([[1.0], [0.0], [0.0]]))
    rewards = table.term("outcome")
    difference = ProRAG(base=RLOO())(table, rewards) - ProRAG(base=DrGRPO())(table, rewards)
    assert difference == pytest.approx([1 / 3, -1 / 6, -1 / 6])


def test_forks_of_portool_can_be_standardised() -> None:
    """Two ways from the start, 0.25 above and below their mean."""
    table = build_table([make_group(*([make_step(action=a, outcome=r)] for a, r in _WAYS))])
    rewards = table.term("outcome")
    assert PORTool().fork_advantages(table, rewards).tolist() == [0.25, -0.25]
    scaled = PORTool(norm="mean_std_norm").fork_advantages(table, rewards)
    assert scaled == pytest.approx([2**-0.5, -(2**-0.5)], abs=1e-5)


_WAYS = [("x", 1.0), ("y", 0.5)]


def test_every_estimator_says_how_sure_it_is() -> None:
    assert {kind.sureness for kind in CREDITS.values()} == set(get_args(Sureness))
    assert PORTool().is_reconstructed
    assert EMPG(base=PORTool()).is_reconstructed
    assert not EMPG().is_reconstructed


_TENTHS = [0.1, 0.2, 0.3]


def _columns(rows: list[tuple[float, int]]) -> tuple[Floats, np.ndarray]:
    values, groups = zip(*rows, strict=True)
    return np.array(values, dtype=np.float64), np.array(groups, dtype=np.int64)
