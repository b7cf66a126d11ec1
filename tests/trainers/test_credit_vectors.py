"""The published and recomputed numbers of estimators, as data: tests/vectors/credit.json.

Those of shapers and reward functions are in test_shaping_vectors.py.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import by_trajectory, make_group, make_step, make_table

from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit.anchors import matches
from agentgym.trainers.credit.asymre import AsymRE
from agentgym.trainers.credit.base import discounted_returns
from agentgym.trainers.credit.bilevel_gae import BilevelGAE
from agentgym.trainers.credit.bnpo import BNPO
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.duration import DurationAware
from agentgym.trainers.credit.empg import EMPG
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.gdpo import GDPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.istar import IStar, implicit_reward
from agentgym.trainers.credit.mc_grpo import MCGRPO
from agentgym.trainers.credit.ngrpo import NGRPO
from agentgym.trainers.credit.opmd import OPMD
from agentgym.trainers.credit.opo import OPO
from agentgym.trainers.credit.portool import PORTool
from agentgym.trainers.credit.prorag import ProRAG
from agentgym.trainers.credit.reinforce_ada import ReinforceAda
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentgym.trainers.credit.riskpo import RiskPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.credit.turn_gae import TurnGAE
from agentgym.trainers.credit.ui_s1 import UIS1

_PATH = Path(__file__).parents[1] / "vectors" / "credit.json"
VECTORS = {vector["id"]: vector for vector in json.loads(_PATH.read_text())["vectors"]}

GIGPO = [
    "gigpo.mean_norm.cross_steps",
    "gigpo.mean_norm.per_trajectory",
    "gigpo.mean_std_norm.cross_steps",
    "gigpo.mean_std_norm.per_trajectory",
]
SALT_GIVEN_ADVANTAGES = [
    "salt.shared_first_step",
    "salt.history_blocks_merge.h1",
    "salt.history_blocks_merge.h3",
    "salt.reconvergence.h1",
    "salt.reconvergence.h2",
    "salt.repeat_inside_one_trajectory",
]
SALT_FROM_REWARDS = ["salt.four_trajectories.grpo", "salt.four_trajectories.rloo"]
ONE_TEST_EACH = [
    "gigpo.group_of_one",
    "gigpo.identical_rewards",
    "gigpo.no_anchor_overlap",
    "gigpo.invalid_action_penalty",
    "gigpo.similarity_autojunk",
    "grpo",
    "rloo",
    "group_of_one.grpo_rloo",
    "dr_grpo",
    "opo",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "reinforce_pp.multi_turn_bug",
    "gdpo.trl",
    "bnpo.three_prompts",
    "empg.basic",
    "igpo.paper",
    "igpo.info_gain",
    "igpo.code_returns",
    "istar.step_adv.paper",
    "istar.step_adv.code",
    "istar.implicit_reward",
    "uis1.returns",
    "prorag.advantage",
    "duration_aware.weights",
    "portool.fork",
    "gae.masked_tokens",
    "turnwise_gae",
    "reinforce_ada.global_stats",
    "asymre",
    "opmd",
]
BILEVEL = ["bilevel_gae.rewarded_turns", "bilevel_gae.zero_first_turn"]
MC_GRPO = ["mc_grpo.graded", "mc_grpo.binary_minority", "mc_grpo.identical"]
NGRPO_CASES = ["ngrpo.all_wrong", "ngrpo.mixed", "ngrpo.all_right"]
RISKPO = ["riskpo.uniform", "riskpo.sum-mean"]


def test_every_vector_of_these_methods_is_covered() -> None:
    others = {"gra", "searchllm", "prs", "toolrl", "carr", "par", "tlts", "datarus"}  # shaping
    others |= {"vspo", "dapo", "dump", "sec"}
    others |= {"ppo", "gspo", "cispo", "topr", "dcpo", "tis", "icepop", "verl"}  # losses
    others |= {"istar.trajectory_dpo_loss"}  # a loss, though its estimator is here
    others |= {"hill", "sage_light", "training_free_grpo", "pods", "speed"}
    named = GIGPO + SALT_GIVEN_ADVANTAGES + SALT_FROM_REWARDS + ONE_TEST_EACH
    named += MC_GRPO + NGRPO_CASES + RISKPO + BILEVEL
    rest = [name for name in VECTORS if not {name, name.split(".")[0]} & others]
    assert sorted(named) == sorted(rest)


@pytest.mark.parametrize("name", GIGPO)
def test_gigpo(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table = _anchored(inputs["trajectories"])
    base = _base(inputs["norm"], cross_steps="cross_steps" in name)
    gigpo = GiGPO(
        gamma=inputs["gamma"],
        step_weight=inputs["omega"],
        norm=inputs["norm"],
        base=base,
    )
    rewards = table.term("outcome")
    returns = discounted_returns(table, rewards, gamma=inputs["gamma"])
    assert _close(returns, expected["returns"])
    assert _close(gigpo.episode_advantages(table, rewards), expected["A_E"])
    assert _close(gigpo.step_advantages(table, rewards), expected["A_S"])
    assert _close(gigpo(table, rewards), expected["A"])
    if "cross_steps" in name:
        compat = GiGPO(
            gamma=inputs["gamma"], step_weight=inputs["omega"], norm=inputs["norm"], compat=True
        )
        assert _close(compat(table, rewards), expected["A"])


def test_gigpo_group_of_one() -> None:
    vector = VECTORS["gigpo.group_of_one"]
    table = make_table([[vector["inputs"]["R"]]])
    rewards = table.term("outcome")
    norm = vector["inputs"]["norm"]
    raw = GiGPO(norm=norm, base=_base(norm, singletons="raw"))
    assert _close(raw.episode_advantages(table, rewards), vector["expected"]["A_E"])
    assert _close(raw.step_advantages(table, rewards), vector["expected"]["A_S"])
    assert GiGPO()(table, rewards).tolist() == [0.0]
    compat = GiGPO(norm=norm, compat=True)
    assert _close(compat.episode_advantages(table, rewards), vector["expected"]["A_E"])


def test_gigpo_identical_rewards() -> None:
    inputs = VECTORS["gigpo.identical_rewards"]["inputs"]
    table = _anchored(
        [
            {"anchor_states": [anchor], "rewards": [reward]}
            for anchor, reward in zip(inputs["anchors"], inputs["R"], strict=True)
        ]
    )
    assert GiGPO(norm=inputs["norm"])(table, table.term("outcome")).tolist() == [0.0] * 3


def test_gigpo_no_anchor_overlap() -> None:
    vector = VECTORS["gigpo.no_anchor_overlap"]
    table = _anchored(vector["inputs"]["trajectories"])
    norm = vector["inputs"]["norm"]
    base = _base(norm)
    gigpo = GiGPO(norm=norm, gamma=vector["inputs"]["gamma"], base=base)
    rewards = table.term("outcome")
    assert _close(gigpo.step_advantages(table, rewards), vector["expected"]["A_S"])
    assert _close(gigpo(table, rewards), vector["expected"]["A"])


def test_gigpo_invalid_action_penalty_at_its_own_step() -> None:
    """The reference takes it from returns that are discounted already: so do its pieces here."""
    inputs, expected = VECTORS["gigpo.invalid_action_penalty"]["inputs"], _expected_penalty()
    table = _anchored(inputs["trajectories"])
    penalty = _penalty(table, inputs["invalid_action_penalty_coef"])
    gigpo = GiGPO(gamma=inputs["gamma"], norm=inputs["norm"], base=_base(inputs["norm"]))
    rewards = table.term("outcome")
    returns = discounted_returns(table, rewards, gamma=inputs["gamma"]) + penalty
    episode, step = gigpo.episode_advantages(table, rewards), gigpo.among_anchors(table, returns)
    assert _close(returns, expected["returns"])
    assert _close(episode + penalty, expected["A_E"])
    assert _close(step, expected["A_S"])
    assert _close(episode + penalty + gigpo.step_weight * step, expected["A"])


def test_gigpo_invalid_action_penalty_as_a_reward_term() -> None:
    """Returns of t2: -0.1 discounted by 0.95; its episode has -0.1 where the mean is 0.475."""
    inputs, expected = VECTORS["gigpo.invalid_action_penalty"]["inputs"], _expected_penalty()
    table = _anchored(inputs["trajectories"])
    rewards = table.term("outcome") + _penalty(table, inputs["invalid_action_penalty_coef"])
    gigpo = GiGPO(gamma=inputs["gamma"], norm=inputs["norm"], base=_base(inputs["norm"]))
    returns = discounted_returns(table, rewards, gamma=inputs["gamma"])
    assert returns[3:6] == pytest.approx([-0.09025, -0.095, -0.1])
    assert returns[5] == pytest.approx(expected["returns"][5])
    assert gigpo.episode_advantages(table, rewards)[3:6] == pytest.approx([-0.575] * 3)


def test_gigpo_similarity() -> None:
    vector = VECTORS["gigpo.similarity_autojunk"]
    inputs, expected = vector["inputs"], vector["expected"]
    a, b = inputs["a"], inputs["b"]
    ratio = 2 * matches(a, b) / (len(a) + len(b))
    assert ratio == pytest.approx(expected["ratio_autojunk_off"])
    assert SequenceMatcher(None, a, b).ratio() == pytest.approx(expected["ratio_reference"])
    table = _anchored([{"anchor_states": [text], "rewards": [n]} for n, text in enumerate((a, b))])
    for compat, grouped in (
        (False, expected["grouped_autojunk_off"]),
        (True, expected["grouped_by_reference"]),
    ):
        gigpo = GiGPO(anchors="similar", similarity=inputs["thresh"], compat=compat)
        first, second = gigpo.number_anchors(table).tolist()
        assert (first == second) is grouped


@pytest.mark.parametrize("name", SALT_GIVEN_ADVANTAGES)
def test_salt_from_given_advantages(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table = _walked(inputs["trajectories"], [0.0] * len(inputs["trajectories"]))
    salt = SALT(history=inputs["h"])
    merged = salt.merge(table, np.array(inputs["trajectory_advantages"], dtype=np.float64))
    assert _nested(table, merged) == pytest.approx(_flat(expected["step_advantages"]), abs=1e-5)
    assert _num_merged(salt, table) == expected["merged_edges"]


@pytest.mark.parametrize("name", SALT_FROM_REWARDS)
def test_salt_from_rewards(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table = _walked(inputs["trajectories"], inputs["rewards"])
    salt = SALT(history=inputs["h"], base={"grpo": GRPO(), "rloo": RLOO()}[name.rsplit(".", 1)[1]])
    advantages = salt(table, table.term("outcome"))
    assert _nested(table, advantages) == pytest.approx(_flat(expected["step_advantages"]), abs=1e-5)
    assert _num_merged(salt, table) == expected["merged_edges"]


def _expected_penalty() -> dict[str, list[float]]:
    expected: dict[str, list[float]] = VECTORS["gigpo.invalid_action_penalty"]["expected"]
    return expected


def _penalty(table: StepTable, coefficient: float) -> Floats:
    """-coefficient at the last step of t2, the table's row 5, and 0 elsewhere."""
    return np.where(np.arange(table.num_steps) == 5, -coefficient, 0.0)


def _base(norm: str, **settings: Any) -> GRPO | DrGRPO:
    return (GRPO if norm == "mean_std_norm" else DrGRPO)(**settings)


@pytest.mark.parametrize("estimator", [GRPO(), RLOO(), DrGRPO()])
def test_grpo_and_rloo(estimator: GRPO | RLOO | DrGRPO) -> None:
    name = estimator.name
    vector = VECTORS[name]
    table = make_table(*([[reward] for reward in group] for group in vector["inputs"]["groups"]))
    assert _close(estimator(table, table.term("outcome")), _flat(vector["expected"]))


@pytest.mark.parametrize("estimator", [GRPO(singletons="raw"), RLOO(singletons="raw")])
def test_group_of_one(estimator: GRPO | RLOO) -> None:
    vector = VECTORS["group_of_one.grpo_rloo"]
    table = make_table(*([[reward] for reward in group] for group in vector["inputs"]["groups"]))
    rewards = table.term("outcome")
    assert _close(estimator(table, rewards), vector["expected"][estimator.name])
    assert type(estimator)()(table, rewards).tolist() == [0.0]


def test_opo() -> None:
    vector = VECTORS["opo"]
    table = _of_lengths([vector["inputs"]["group"]], vector["inputs"]["lengths"])
    assert _close(OPO()(table, table.term("outcome")), vector["expected"])


def test_reinforce_pp() -> None:
    inputs, expected = VECTORS["reinforce_pp"]["inputs"], VECTORS["reinforce_pp"]["expected"]
    table = _of_lengths([inputs["rewards"]], inputs["lengths"])
    advantages = ReinforcePP(gamma=inputs["gamma"])(table, table.term("outcome"))
    assert _close(advantages, np.repeat(expected, inputs["lengths"]))


def test_reinforce_pp_baseline() -> None:
    vector = VECTORS["reinforce_pp_baseline"]
    rewards, groups = vector["inputs"]["rewards"], vector["inputs"]["groups"]
    by_group = [
        [reward for reward, group in zip(rewards, groups, strict=True) if group == name]
        for name in sorted(set(groups))
    ]
    table = _of_lengths(by_group, vector["inputs"]["lengths"])
    assert _close(ReinforcePPBaseline()(table, table.term("outcome")), vector["expected"])


def test_reinforce_pp_carries_returns_across_observations() -> None:
    """Two turns with an observation between: what the policy did not sample is in no step."""
    vector = VECTORS["reinforce_pp.multi_turn_bug"]
    (mask,) = vector["inputs"]["mask"]
    steps = [make_step(num_tokens=2), make_step(num_tokens=2, outcome=1.0)]
    table = build_table([make_group(steps)])
    returns = ReinforcePP().token_returns(table, table.term("outcome"))
    (expected,) = vector["expected"]["returns_correct"]
    assert returns.tolist() == [value for value, kept in zip(expected, mask, strict=True) if kept]


@pytest.mark.parametrize("name", MC_GRPO)
def test_mc_grpo(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table = make_table([[reward] for reward in inputs["rewards_G_plus_1"]])
    rewards = table.term("outcome")
    free = MCGRPO(mad_eps=inputs["mad_eps"], limit=None)
    assert _close(free(table, rewards), expected["advantages_no_rescale"])
    as_released = MCGRPO(mad_eps=inputs["mad_eps"], limit=None, compat=True)
    assert _close(as_released(table, rewards), expected["advantages_code"])
    assert np.abs(MCGRPO()(table, rewards)).max() <= 5.0


@pytest.mark.parametrize("name", NGRPO_CASES)
def test_ngrpo(name: str) -> None:
    inputs = VECTORS[name]["inputs"]
    table = make_table([[reward] for reward in inputs["rewards"]])
    ngrpo = NGRPO(max_reward=inputs["max_reward"], virtual=inputs["virtual"])
    assert _close(ngrpo(table, table.term("outcome")), VECTORS[name]["expected"])


def test_gdpo() -> None:
    vector = VECTORS["gdpo.trl"]
    inputs = vector["inputs"]
    pairs = zip(inputs["reward_1"], inputs["reward_2"], strict=True)
    table = build_table([make_group(*([make_step(a=one, b=two)] for one, two in pairs))])
    gdpo = GDPO(weights=dict(zip("ab", inputs["weights"], strict=True)), eps=inputs["eps"])
    assert _close(gdpo(table, np.zeros(table.num_steps)), vector["expected"]["advantages"])
    assert _close(GDPO()(table, np.zeros(table.num_steps)), vector["expected"]["advantages"])


def test_bnpo() -> None:
    vector = VECTORS["bnpo.three_prompts"]
    table = make_table(*([[reward] for reward in group] for group in vector["inputs"]["groups"]))
    advantages = BNPO()(table, table.term("outcome"))
    assert _close(advantages, _flat(vector["expected"]["advantages"]))


@pytest.mark.parametrize("name", RISKPO)
def test_riskpo(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    questions = inputs["question_rewards"]
    table = make_table(*([[reward] for reward in question] for question in questions))
    low, high = inputs["quantiles"]
    riskpo = RiskPO(low=low, high=high, mix=inputs["w_mix"], share=inputs["credit"])
    assert _close(riskpo(table, table.term("outcome")), _flat(expected))


def test_empg() -> None:
    inputs, expected = VECTORS["empg.basic"]["inputs"], VECTORS["empg.basic"]["expected"]
    table = _of_steps(*inputs["step_entropies"], column="entropy")
    empg = EMPG(k=inputs["k"], k_future=inputs["k_f"], zeta=inputs["zeta"])
    given = np.array(inputs["trajectory_advantages"])[table.trajectory]
    assert _close(empg.modulate(table, given), _flat(expected))


def test_igpo_of_the_paper() -> None:
    """Turn rewards are given; the column that makes these gains begins anywhere."""
    inputs, expected = VECTORS["igpo.paper"]["inputs"], VECTORS["igpo.paper"]["expected"]
    table, rewards = _gaining(inputs["turn_rewards"])
    igpo = IGPO(gamma=inputs["gamma"])
    assert _close(igpo.turn_rewards(table, rewards), _flat(inputs["turn_rewards"]))
    assert _close(igpo(table, rewards), _flat(expected))


def test_igpo_gains() -> None:
    vector = VECTORS["igpo.info_gain"]
    probabilities = np.log(vector["inputs"]["gt_answer_prob_per_turn"])
    table = _of_steps(probabilities, column="answer_logprob")
    gains = IGPO().turn_rewards(table, np.zeros(table.num_steps))
    assert _close(gains[:-1], vector["expected"])


def test_igpo_of_the_code() -> None:
    vector = VECTORS["igpo.code_returns"]
    table, rewards = _gaining([[0.2, 1.0], [0.1, 0.0]])
    advantages = IGPO(compat=True)(table, rewards)
    expected = [[row[0], row[-1]] for row in vector["expected"]["advantages"]]
    assert _close(advantages, _flat(expected))


@pytest.mark.parametrize("way", ["paper", "code"])
def test_istar(way: str) -> None:
    vector = VECTORS[f"istar.step_adv.{way}"]
    table = _of_steps(*vector["inputs"]["implicit_step_rewards"], column="process_reward")
    istar = IStar(compat=way == "code")
    assert _close(istar.step_advantages(table), _flat(vector["expected"]))


def test_istar_implicit_reward() -> None:
    vector = VECTORS["istar.implicit_reward"]
    inputs = vector["inputs"]
    logprobs = np.array(inputs["logp_prm"]), np.array(inputs["logp_ref"])
    assert implicit_reward(*logprobs, beta=inputs["beta"]) == pytest.approx(vector["expected"])


def test_ui_s1() -> None:
    vector = VECTORS["uis1.returns"]
    inputs = vector["inputs"]
    pairs = zip(inputs["step_rewards"], inputs["action_matches_expert"], strict=True)
    steps = [make_step(outcome=reward, match=match) for reward, match in pairs]
    table = build_table([make_group(steps)])
    returns = UIS1(gamma=inputs["gamma"]).returns(table, table.term("outcome"))
    assert _close(returns, vector["expected"])


def test_prorag() -> None:
    """Two steps, of two tokens and one, against a step of two."""
    inputs, expected = (
        VECTORS["prorag.advantage"]["inputs"],
        VECTORS["prorag.advantage"]["expected"],
    )
    won, lost = inputs["outcome"]
    table = build_table(
        [
            make_group(
                [make_step(num_tokens=2), make_step(num_tokens=1, outcome=won)],
                [make_step(num_tokens=2, outcome=lost)],
            )
        ]
    )
    scores = inputs["prm_token_scores"]
    process = np.array([scores[0][0], scores[0][2], scores[1][0]])
    advantages = ProRAG(beta=inputs["beta"])(
        replace(table, process_reward=process), table.term("outcome")
    )
    assert _close(advantages, [expected[0][0], expected[0][2], expected[1][0]])


def test_duration_aware() -> None:
    vector = VECTORS["duration_aware.weights"]
    table = _of_steps(vector["inputs"]["durations"], column="duration")
    scaled = DurationAware().scale(table, np.array(vector["inputs"]["advantages"]))
    assert _close(scaled, vector["expected"])


def test_portool() -> None:
    """Three ways that leave the root, each to a place of its own."""
    vector = VECTORS["portool.fork"]
    ways = [
        [make_step(state="root", action=f"a{n}", next_state=f"s{n}", outcome=reward)]
        for n, reward in enumerate(vector["inputs"]["children_step_rewards"])
    ]
    table = build_table([make_group(*ways)])
    assert _close(PORTool().fork_advantages(table, table.term("outcome")), vector["expected"])


def test_gae_passes_over_observations() -> None:
    vector = VECTORS["gae.masked_tokens"]
    inputs = vector["inputs"]
    table, rewards = _of_turns(inputs)
    gae = GAE(gamma=inputs["gamma"], lam=inputs["lam"], whitened=False)
    expected = [value for value in vector["expected"]["advantages_before_whitening"] if value]
    assert _close(gae(table, rewards), expected)


@pytest.mark.parametrize("name", BILEVEL)
def test_bilevel_gae(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table, rewards = _of_turns(inputs)
    gae = BilevelGAE(
        gamma=inputs["gamma"], lam=inputs["lam"], gamma_turn=inputs["high_level_gamma"]
    )
    advantages = expected["advantages_before_whitening"]
    kept = [value for value, mask in zip(advantages, inputs["mask"], strict=True) if mask]
    assert _close(gae(table, rewards), kept)


def test_turnwise_gae() -> None:
    vector = VECTORS["turnwise_gae"]
    inputs, expected = vector["inputs"], vector["expected"]["advantages_before_whitening"]
    table, rewards = _of_turns(inputs)
    assert table.token_value is not None
    table = replace(table, value=table.token_value[table.token_start[1:] - 1])
    gae = TurnGAE(gamma=inputs["high_level_gamma"], lam=inputs["lam"])
    kept = [value for value, mask in zip(expected, inputs["mask"], strict=True) if mask]
    assert _close(np.repeat(gae(table, rewards), np.diff(table.token_start)), kept)


def test_reinforce_ada() -> None:
    vector = VECTORS["reinforce_ada.global_stats"]
    inputs = vector["inputs"]
    table = make_table([[reward] for reward in inputs["kept"]])
    seen = inputs["pos_total"] / (inputs["pos_total"] + inputs["neg_total"])
    table = replace(table, pool_mean=np.full(table.num_trajectories, seen))
    assert _close(ReinforceAda()(table, table.term("outcome")), vector["expected"])


def test_asymre() -> None:
    vector = VECTORS["asymre"]
    table = make_table([[reward] for reward in vector["inputs"]["rewards"]])
    asymre = AsymRE(shift=vector["inputs"]["baseline_shift"])
    assert _close(asymre(table, table.term("outcome")), vector["expected"])


def test_opmd() -> None:
    vector = VECTORS["opmd"]
    table = make_table([[reward] for reward in vector["inputs"]["rewards"]])
    rewards = table.term("outcome")
    expected = vector["expected"]
    assert _close(OPMD(tau=vector["inputs"]["tau"])(table, rewards), expected["logavgexp"])
    assert _close(DrGRPO()(table, rewards), expected["mean"])


def _anchored(trajectories: Sequence[dict[str, Any]]) -> StepTable:
    """Trajectories given as anchor states and rewards."""
    return build_table(
        [
            make_group(
                *(
                    [
                        make_step(state=state, outcome=reward)
                        for state, reward in zip(
                            trajectory["anchor_states"], trajectory["rewards"], strict=True
                        )
                    ]
                    for trajectory in trajectories
                )
            )
        ]
    )


def _walked(
    trajectories: Sequence[Sequence[tuple[str, str]]], returns: Sequence[float]
) -> StepTable:
    """Trajectories given as pairs of action and next observation; the return comes last."""
    episodes = []
    for pairs, total in zip(trajectories, returns, strict=True):
        states = ["start", *(observation for _, observation in pairs)]
        rewards = [0.0] * (len(pairs) - 1) + [total]
        episodes.append(
            [
                make_step(state=state, action=action, next_state=observation, outcome=reward)
                for state, (action, observation), reward in zip(
                    states[:-1], pairs, rewards, strict=True
                )
            ]
        )
    return build_table([make_group(*episodes)])


def _num_merged(salt: SALT, table: StepTable) -> int:
    return int((np.bincount(salt.transitions(table)) > 1).sum())


def _nested(table: StepTable, values: np.ndarray) -> list[float]:
    return _flat(list(by_trajectory(table, values).values()))


def _flat(nested: Sequence[Sequence[float]]) -> list[float]:
    return [value for values in nested for value in values]


def _close(values: np.ndarray, expected: Sequence[float]) -> bool:
    """The vectors are given to 1e-5."""
    return np.allclose(values, expected, rtol=0.0, atol=1e-5)


def _of_lengths(groups: Sequence[Sequence[float]], lengths: Sequence[int]) -> StepTable:
    """A table of one step a trajectory, of so many tokens."""
    left = iter(lengths)
    return build_table(
        [
            make_group(
                *([make_step(num_tokens=next(left), outcome=reward)] for reward in group),
                name=f"g{number}",
            )
            for number, group in enumerate(groups)
        ]
    )


def _of_steps(*trajectories: Sequence[float], column: str) -> StepTable:
    """A group of trajectories with these values of a column."""
    table = build_table([make_group(*([make_step() for _ in values] for values in trajectories))])
    return replace(table, **{column: np.concatenate([np.asarray(each) for each in trajectories])})


def _gaining(turn_rewards: Sequence[Sequence[float]]) -> tuple[StepTable, Floats]:
    """A group whose answers gain so much in probability; the last of each is the outcome."""
    logprobs = [np.log(0.3 + np.cumsum([0.0, *turns[:-1]])) for turns in turn_rewards]
    table = _of_steps(*logprobs, column="answer_logprob")
    rewards = np.zeros(table.num_steps)
    rewards[table.step_start[1:] - 1] = [turns[-1] for turns in turn_rewards]
    return table, rewards


def _of_turns(inputs: dict[str, Any]) -> tuple[StepTable, Floats]:
    """A trajectory of what a mask keeps: a turn ends at each gap, and at the end."""
    mask = np.array(inputs["mask"], dtype=np.bool_)
    turn = np.cumsum(np.diff(mask.astype(int), prepend=0) == 1)[mask]
    lengths = np.bincount(turn)[1:]
    table = build_table([make_group([make_step(num_tokens=int(length)) for length in lengths])])
    rewards = np.bincount(turn, weights=np.array(inputs["rewards"], dtype=np.float64)[mask])[1:]
    return replace(table, token_value=np.array(inputs["values"])[mask]), rewards
