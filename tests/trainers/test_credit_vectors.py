"""The published and recomputed numbers of each method, as data: tests/vectors/credit.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import by_trajectory, make_group, make_step, make_table

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.base import discounted_returns
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.shaping.gated import Gated, Level
from agentgym.trainers.shaping.progressive import Progressive, Stage

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
    "gra.two_level",
    "gra.cascade",
    "prs.stages",
    "grpo",
    "rloo",
    "group_of_one.grpo_rloo",
]
NOT_COVERED = [
    "gigpo.invalid_action_penalty",  # a penalty is a reward term here
    "gigpo.similarity_autojunk",  # states match exactly here
    "prs.length_aware_bleu",  # a score of an environment, not of the shaper
]


def test_every_vector_of_these_methods_is_covered_or_named_as_not() -> None:
    families = {"gigpo", "salt", "gra", "prs", "grpo", "rloo", "group_of_one"}
    named = GIGPO + SALT_GIVEN_ADVANTAGES + SALT_FROM_REWARDS + ONE_TEST_EACH + NOT_COVERED
    assert sorted(named) == sorted(name for name in VECTORS if name.split(".")[0] in families)


@pytest.mark.parametrize("name", GIGPO)
def test_gigpo(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    table = _anchored(inputs["trajectories"])
    base = GRPO(scale=inputs["norm"] == "mean_std_norm", cross_steps="cross_steps" in name)
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


def test_gigpo_group_of_one() -> None:
    vector = VECTORS["gigpo.group_of_one"]
    table = make_table([[vector["inputs"]["R"]]])
    rewards = table.term("outcome")
    norm = vector["inputs"]["norm"]
    raw = GiGPO(norm=norm, base=GRPO(scale=norm == "mean_std_norm", singletons="raw"))
    assert _close(raw.episode_advantages(table, rewards), vector["expected"]["A_E"])
    assert _close(raw.step_advantages(table, rewards), vector["expected"]["A_S"])
    assert GiGPO()(table, rewards).tolist() == [0.0]


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
    base = GRPO(scale=norm == "mean_std_norm")
    gigpo = GiGPO(norm=norm, gamma=vector["inputs"]["gamma"], base=base)
    rewards = table.term("outcome")
    assert _close(gigpo.step_advantages(table, rewards), vector["expected"]["A_S"])
    assert _close(gigpo(table, rewards), vector["expected"]["A"])


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


@pytest.mark.parametrize(("name", "estimator"), [("grpo", GRPO()), ("rloo", RLOO())])
def test_grpo_and_rloo(name: str, estimator: GRPO | RLOO) -> None:
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


def test_gated_two_level() -> None:
    vector = VECTORS["gra.two_level"]
    cases = [case["levels"] for case in vector["inputs"]["cases"]]
    table = build_table([_scored(cases)])
    shaped = _gated(vector["inputs"]["gates"])(table, progress=0.0)
    assert _close(shaped.rewards, vector["expected"]["total"])
    assert shaped.gates["level0"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert _kept(vector["inputs"]["gates"], table) == vector["expected"]["kept"]

    direct = _gated([None, None, None])(table, progress=0.0)
    assert _close(direct.rewards, vector["expected"]["direct_accumulation"])
    assert direct.gates == {}


def test_gated_cascade() -> None:
    vector = VECTORS["gra.cascade"]
    table = build_table([_scored([vector["inputs"]["levels"]])])
    shaped = _gated(vector["inputs"]["gates"])(table, progress=0.0)
    assert _close(shaped.rewards, [vector["expected"]["total"]])
    assert {name: gate.tolist() for name, gate in shaped.gates.items()} == {
        "level0": [1.0],
        "level1": [0.0],
    }
    assert _kept(vector["inputs"]["gates"], table) == [vector["expected"]["kept"]]


def test_progressive_stages() -> None:
    vector = VECTORS["prs.stages"]
    table = build_table([_scored(vector["inputs"]["cases"])])
    stages = [Stage(term=f"level{k}", weight=w) for k, w in enumerate(vector["inputs"]["weights"])]
    shaped = Progressive(stages=tuple(stages))(table, progress=0.0)
    assert _close(shaped.rewards, vector["expected"])
    assert shaped.gates["level1"].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]


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


def _scored(cases: Sequence[Sequence[float]]) -> Any:
    """Trajectories of one step whose terms `level0`, `level1` ... are given."""
    return make_group(
        *([make_step(**{f"level{k}": value for k, value in enumerate(case)})] for case in cases)
    )


def _gated(gates: Sequence[float | None], *, only: int | None = None) -> Gated:
    """Levels with these gates; with `only`, one alone has a weight."""
    return Gated(
        levels=tuple(
            Level(term=f"level{k}", threshold=gate, weight=float(only in (None, k)))
            for k, gate in enumerate(gates)
        )
    )


def _kept(gates: Sequence[float | None], table: StepTable) -> list[list[float]]:
    """What is left of each level, by trajectory: gates look at terms before their weights."""
    levels = [_gated(gates, only=k)(table, progress=0.0).rewards for k in range(len(gates))]
    return np.stack(levels, axis=1).tolist()


def _num_merged(salt: SALT, table: StepTable) -> int:
    return int((np.bincount(salt.transitions(table)) > 1).sum())


def _nested(table: StepTable, values: np.ndarray) -> list[float]:
    return _flat(list(by_trajectory(table, values).values()))


def _flat(nested: Sequence[Sequence[float]]) -> list[float]:
    return [value for values in nested for value in values]


def _close(values: np.ndarray, expected: Sequence[float]) -> bool:
    """The vectors are given to 1e-5."""
    return np.allclose(values, expected, rtol=0.0, atol=1e-5)
