"""GRAFT against a linear solve, and against its paper's GAE on the graph by brute force."""

from collections import defaultdict
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.base import center_steps, number_rows, sampled, unshared
from agentgym.trainers.credit.graft import GRAFT
from agentgym.trainers.credit.grpo import GRPO

END = -1
"""The node after the last step of a trajectory."""


@given(tables(), st.sampled_from([0.1, 0.5, 0.95, 0.99]))
def test_errors_are_those_of_a_linear_solve(table: StepTable, gamma: float) -> None:
    rewards = table.term("outcome")
    sources, targets = _edges(table)
    values = _solve(sources, targets, rewards, gamma)
    expected = rewards + gamma * values[targets] - values[sources]
    found = GRAFT(gamma=gamma).td_errors(table, rewards, sources)
    assert found == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_errors_are_compared_among_the_steps_of_a_state(table: StepTable) -> None:
    rewards = table.term("outcome")
    sources, targets = _edges(table)
    values = _solve(sources, targets, rewards, 0.95)
    members = defaultdict(list)
    for row in np.flatnonzero(sampled(table)):
        members[sources[row]].append(row)
    expected = np.zeros(table.num_steps)
    for rows in members.values():
        worth = rewards[rows] + 0.95 * values[targets[rows]]
        if len(rows) > 1 and np.ptp(worth) > 1e-12:
            expected[rows] = (worth - worth.mean()) / (worth.std(ddof=1) + 1e-6)
    assert GRAFT()(table, rewards) == pytest.approx(expected, abs=1e-7)


@given(tables(), st.sampled_from([0.5, 0.95]), st.sampled_from([0.3, 0.9, 1.0]))
def test_gae_on_the_graph_adds_nothing_to_the_errors(
    table: StepTable, gamma: float, lam: float
) -> None:
    rewards = table.term("outcome")
    sources, targets = _edges(table)
    errors = GRAFT(gamma=gamma).td_errors(table, rewards, sources)
    graph_gae = _graph_gae(table, sources, targets, errors, gamma * lam)
    assert graph_gae == pytest.approx(errors, abs=1e-10)


@given(tables())
def test_paid_at_the_end_nodes_the_errors_are_gamma_times_as_large(table: StepTable) -> None:
    """As in the paper: the node after the last step is worth the return, and steps earn nothing."""
    gamma, sparse = 0.9, np.zeros(table.num_steps)
    sparse[table.step_start[1:] - 1] = returns = table.per_trajectory(table.term("outcome"))
    sources, targets = _edges(table)
    nodes = int(sources.max()) + 1
    targets[table.step_start[1:] - 1] = nodes + np.arange(len(returns))
    values = _solve(sources, targets, np.zeros(table.num_steps), gamma, ends=returns)
    paper = gamma * values[targets] - values[sources]
    ours = GRAFT(gamma=gamma).td_errors(table, sparse, sources)
    assert gamma * ours == pytest.approx(paper, abs=1e-12)
    expected = center_steps(table, paper / gamma, sources, scale=True)
    assert GRAFT(gamma=gamma)(table, sparse) == pytest.approx(expected, abs=1e-7)


def test_a_failure_is_credited_where_others_went_on_to_succeed() -> None:
    """The second fails, but its first step is worth as much as that of the first."""
    hit = [make_step(state="start"), make_step(state="door", outcome=1.0)]
    near = [make_step(state="start"), make_step(state="door")]
    far = [make_step(state="start"), make_step(state="pit")]
    table = build_table([make_group(hit, near, far)])
    steps = GRAFT()(table, table.term("outcome"))
    assert steps[0] == steps[2] > 0 > steps[4]
    assert steps[1] > 0 > steps[3]
    assert steps[5] == 0  # alone at its state


def test_a_loop_is_solved() -> None:
    """One of two steps from s comes back to it: V = (gamma V + 1) / 2."""
    walk = [make_step(state="s"), make_step(state="s", outcome=1.0)]
    table = build_table([make_group(walk, walk)])
    errors = GRAFT(gamma=0.9).td_errors(table, table.term("outcome"), np.zeros(4, dtype=np.int64))
    value = 0.5 / (1 - 0.45)
    assert errors == pytest.approx([0.9 * value - value, 1 - value] * 2)


@given(tables())
def test_the_trajectorys_advantage_is_added_by_its_weight(table: StepTable) -> None:
    rewards = table.term("outcome")
    expected = 0.5 * GRPO()(table, rewards) + GRAFT().step_advantages(table, rewards)
    assert GRAFT(base_weight=0.5)(table, rewards) == pytest.approx(expected)


def _edges(table: StepTable) -> tuple[np.ndarray, np.ndarray]:
    """The node that each step leaves, and the one it leads to."""
    sources = number_rows(table.step_group, unshared(table.state))
    targets = np.roll(sources, -1)
    targets[table.step_start[1:] - 1] = END
    return sources, targets


def _solve(
    sources: np.ndarray,
    targets: np.ndarray,
    rewards: np.ndarray,
    gamma: float,
    ends: np.ndarray | tuple[float, ...] = (),
) -> np.ndarray:
    """Values of all nodes, then of `ends`, which are given, and last of END: 0."""
    nodes = int(sources.max()) + 1
    size = nodes + len(ends) + 1
    system, right = np.eye(size), np.zeros(size)
    right[nodes:-1] = ends
    count = np.bincount(sources)
    for source, target, reward in zip(sources, targets, rewards, strict=True):
        system[source, target] -= gamma / count[source]
        right[source] += reward / count[source]
    return np.linalg.solve(system, right)


def _graph_gae(
    table: StepTable, sources: np.ndarray, targets: np.ndarray, errors: np.ndarray, decay: float
) -> np.ndarray:
    """Add, for each k up to the steps left, decay^k times the mean error of the edges k hops on."""
    rows = sorted(range(table.num_steps), key=lambda row: sources[row])
    leaving = {node: list(group) for node, group in groupby(rows, key=lambda row: sources[row])}
    total = errors.copy()
    for row in range(table.num_steps):
        reached = {targets[row]}
        for hops in range(1, int(table.step_start[table.trajectory[row] + 1]) - row):
            edges = [edge for node in reached for edge in leaving.get(node, [])]
            if not edges:
                break
            total[row] += decay**hops * np.mean(errors[edges])
            reached = {targets[edge] for edge in edges}
    return total
