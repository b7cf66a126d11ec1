"""COPO against the slow obvious version, and what each of its two levels does."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.copo import COPO
from agentgym.types import Group


@given(tables(), st.sampled_from([0.5, 5.0, 20.0]), st.sampled_from([0.0, 1.0, 1.5]), st.booleans())
def test_copo_agrees_with_the_slow_obvious_version(
    table: StepTable, slope: float, threshold: float, blended: bool
) -> None:
    rewards = table.term("outcome")
    for answers in ("action", "return"):
        copo = COPO(
            slope=slope,
            threshold=threshold,
            answers=answers,
            zeros="blended" if blended else "global",
        )
        expected = _slow(table, table.per_trajectory(rewards), copo)
        assert copo.relative(table, rewards) == pytest.approx(expected, abs=1e-7)


def test_groups_that_agree_are_compared_with_each_other() -> None:
    """In the first group all are right, in the second all are wrong: GRPO learns nothing here."""
    table = build_table([_group("right", "aaa", [1, 1, 1]), _group("wrong", "bbb", [0, 0, 0])])
    advantages = COPO()(table, table.term("outcome"))
    weight = 1 / (1 + math.exp(5))  # of the level inside of the group, where H = 0
    expected = math.sqrt(0.5) / (1 + 1e-6 / math.sqrt(0.5))
    assert advantages[:3] == pytest.approx((1 - weight) * expected, abs=1e-5)
    assert advantages[3:] == pytest.approx(-expected, abs=1e-5)


def test_groups_that_disagree_are_judged_inside() -> None:
    """Four different answers have two bits."""
    table = build_table([_group("g", "abcd", [1, 0, 0, 0]), _group("h", "aaaa", [1, 1, 1, 1])])
    advantages = COPO(slope=1000.0, zeros="blended")(table, table.term("outcome"))
    assert advantages[:4] == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-5)


def test_a_failure_has_the_advantage_of_its_group_alone() -> None:
    table = build_table([_group("g", "abcd", [1, 0, 1, 1]), _group("h", "abcd", [0, 0, 0, 1])])
    advantages = COPO()(table, table.term("outcome"))
    assert advantages[1] > 0 > advantages[4]
    assert advantages[1] == pytest.approx(math.sqrt(0.5), abs=1e-5)


def test_one_group_is_compared_with_none() -> None:
    table = build_table([_group("g", "aa", [1, 1])])
    assert COPO()(table, table.term("outcome")).tolist() == [0.0, 0.0]


def test_a_group_of_one_gets_nothing_and_moves_no_mean() -> None:
    groups = [_group("g", "aa", [1, 1]), _group("h", "ab", [1, 0])]
    table = build_table([*groups, _group("alone", "a", [-5])])
    both = build_table(groups)
    advantages = COPO()(table, table.term("outcome")).tolist()
    assert advantages == [*COPO()(both, both.term("outcome")).tolist(), 0.0]


def _group(name: str, actions: str, rewards: list[float]) -> Group:
    steps = [
        [make_step(action=action, outcome=float(reward))]
        for action, reward in zip(actions, rewards, strict=True)
    ]
    return make_group(*steps, name=name)


def _slow(table: StepTable, returns: np.ndarray, copo: COPO) -> np.ndarray:
    groups = [np.flatnonzero(table.group == number) for number in range(table.num_groups)]
    means = [returns[rows].mean() for rows in groups if len(rows) > 1]
    expected = np.zeros(len(returns))
    for rows in groups:
        if len(rows) < 2:
            continue
        last = table.step_start[rows + 1] - 1
        answers = table.action[last] if copo.answers == "action" else returns[rows]
        shares = [count / len(rows) for count in Counter(answers.tolist()).values()]
        entropy = -sum(share * math.log2(share) for share in shares)
        own = returns[rows].mean()
        between = 0.0
        if len(means) > 1 and np.ptp(means) > 1e-12:
            between = (own - np.mean(means)) / (np.std(means, ddof=1) + 1e-6)
        for row in rows:
            local = 0.0
            if np.ptp(returns[rows]) > 0:
                local = (returns[row] - own) / (returns[rows].std(ddof=1) + 1e-6)
            weight = 1 / (1 + math.exp(-copo.slope * (entropy - copo.threshold)))
            if returns[row] == 0 and copo.zeros == "global":
                weight = 0.0
            expected[row] = weight * local + (1 - weight) * between
    return expected
