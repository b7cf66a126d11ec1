from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from strategies import make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.base import sampled
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO


@given(tables())
def test_without_the_step_term_it_is_grpo(table: StepTable) -> None:
    rewards = table.term("outcome")
    assert GiGPO(step_weight=0.0)(table, rewards).tolist() == GRPO()(table, rewards).tolist()


@pytest.mark.parametrize("scale", [False, True])
@given(table=tables())
def test_agrees_with_the_slow_obvious_version(scale: bool, table: StepTable) -> None:
    """Loops over steps and dictionaries of lists, straight from the formulas."""
    gigpo = GiGPO(gamma=0.9, norm="mean_std_norm" if scale else "mean_norm")
    rewards = table.term("outcome")
    returns = np.zeros(table.num_steps)
    for row in reversed(range(table.num_steps)):
        last = row + 1 == table.num_steps or table.trajectory[row + 1] != table.trajectory[row]
        returns[row] = rewards[row] + (0.0 if last else 0.9 * returns[row + 1])
    members = defaultdict(list)
    for row in range(table.num_steps):
        if table.state[row] >= 0 and sampled(table)[row]:
            members[table.step_group[row], table.state[row]].append(row)
    expected = np.zeros(table.num_steps)
    for rows in members.values():
        if len(rows) > 1:
            std = returns[rows].std(ddof=1) + 1e-6 if scale else 1.0
            expected[rows] = (returns[rows] - returns[rows].mean()) / std
    assert gigpo.step_advantages(table, rewards) == pytest.approx(expected, abs=1e-8)


@given(tables())
def test_the_step_term_sums_to_zero_at_each_state(table: StepTable) -> None:
    advantages = GiGPO().step_advantages(table, table.term("outcome"))
    for group in range(table.num_groups):
        for state in range(len(table.state_keys)):
            here = (table.step_group == group) & (table.state == state)
            assert advantages[here].sum() == pytest.approx(0.0, abs=1e-9)


@given(tables())
def test_cross_steps_sums_to_zero_over_the_steps_of_a_group(table: StepTable) -> None:
    gigpo = GiGPO(base=GRPO(cross_steps=True))
    advantages = gigpo.episode_advantages(table, table.term("outcome"))
    assert np.bincount(table.step_group, weights=advantages) == pytest.approx(0.0, abs=1e-9)


def test_equal_states_of_different_groups_are_not_compared() -> None:
    groups = [
        make_group([make_step(state="s", outcome=reward)], name=name)
        for name, reward in (("g", 0.0), ("h", 1.0))
    ]
    table = build_table(groups)
    assert GiGPO()(table, table.term("outcome")).tolist() == [0.0, 0.0]


def test_steps_without_a_state_key_are_not_compared() -> None:
    table = build_table([make_group([make_step(outcome=0.0)], [make_step(outcome=1.0)])])
    assert not GiGPO().step_advantages(table, table.term("outcome")).any()


def test_a_loop_is_worse_than_leaving_it() -> None:
    """One trajectory, twice in s: the later visit is nearer to the reward."""
    loop = [make_step(state="s"), make_step(state="s", outcome=1.0)]
    table = build_table([make_group(loop)])
    gigpo = GiGPO(gamma=0.5, norm="mean_norm")
    assert gigpo(table, table.term("outcome")).tolist() == [-0.25, 0.25]


def test_long_trajectories_weigh_more_across_steps() -> None:
    """Returns 1 (one step) and 0 (three steps): the mean over steps is 1/4, not 1/2."""
    table = build_table([make_group([make_step(outcome=1.0)], [make_step(outcome=0.0)] * 3)])
    gigpo = GiGPO(norm="mean_norm", base=DrGRPO(cross_steps=True))
    assert gigpo(table, table.term("outcome")).tolist() == [0.75, -0.25, -0.25, -0.25]


def test_compat_says_which_base_it_has() -> None:
    settings = {"cross_steps": True, "singletons": "raw"}
    assert GiGPO(compat=True).base == GRPO(**settings)
    assert GiGPO(compat=True, norm="mean_norm").base == DrGRPO(**settings)
    assert GiGPO(norm="mean_norm").base == GRPO()
