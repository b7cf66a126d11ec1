"""Step credit over histories and graphs of states, against slow obvious versions."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

from agentgym.errors import ConfigError
from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.base import discounted_returns, sampled
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.g2po import G2PO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.graph_gpo import GraphGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.hgpo import HGPO

G2PO_RUN = json.loads((Path(__file__).parents[2] / "vectors" / "g2po.json").read_text())
"""A batch, and what the published code makes of it."""


@given(tables(), st.integers(0, 3), st.booleans())
def test_hgpo_agrees_with_the_slow_obvious_version(
    table: StepTable, history: int, scale: bool
) -> None:
    rewards = table.term("outcome")
    hgpo = HGPO(history=history, norm="mean_std_norm" if scale else "mean_norm", alpha=1.5)
    expected = _slow_hgpo(table, discounted_returns(table, rewards, gamma=0.95), history, scale)
    assert hgpo(table, rewards) == pytest.approx(expected, abs=1e-7)


@given(tables())
def test_hgpo_without_a_history_is_the_steps_part_of_gigpo(table: StepTable) -> None:
    rewards = table.term("outcome")
    alone = HGPO(history=0, norm="mean_norm")(table, rewards)
    expected = GiGPO(norm="mean_norm").step_advantages(table, rewards)
    assert alone == pytest.approx(expected, abs=1e-5)


def test_hgpo_tells_ways_to_a_state_apart() -> None:
    """Both end in s; only those who came by the same way are compared at the second depth."""
    ways = [("a", 1.0), ("a", 0.0), ("b", 1.0)]
    table = build_table(
        [make_group(*([make_step(state=way), make_step(state="s", outcome=r)] for way, r in ways))]
    )
    advantages = HGPO(history=1, norm="mean_norm", alpha=0.0)(table, table.term("outcome"))
    thirds = [1 / 3, -2 / 3, 1 / 3]  # at depth 1
    expected = [(thirds[0] + 0.5) / 2, (thirds[1] - 0.5) / 2, thirds[2]]
    assert advantages[1::2] == pytest.approx(expected, abs=1e-5)


@given(tables())
def test_graph_gpo_agrees_with_the_slow_obvious_version(table: StepTable) -> None:
    rewards = table.term("outcome")
    expected = _slow_graph(table, table.per_trajectory(rewards) > 0)
    assert GraphGPO().step_advantages(table) == pytest.approx(expected, abs=1e-8)


def test_graph_gpo_credits_a_failure_for_coming_near() -> None:
    """The second fails, but its first step reached the state from which the first succeeded."""
    hit = [make_step(state="start", next_state="door"), make_step(state="door", outcome=1.0)]
    near = [make_step(state="start", next_state="door"), make_step(state="door", next_state="pit")]
    far = [make_step(state="start", next_state="pit"), make_step(state="pit", next_state="pit")]
    table = build_table([make_group(hit, near, far)])
    steps = GraphGPO().step_advantages(table)
    assert steps[0] == steps[2] > 0 > steps[4]
    assert steps[1] > 0 > steps[3]


@pytest.mark.parametrize("norm", ["mean_std_norm", "mean_norm"])
def test_g2po_has_the_numbers_of_the_published_code(norm: str) -> None:
    table = build_table(
        [
            make_group(*map(_walk_g2po, trajectories), name=str(number))
            for number, trajectories in enumerate(G2PO_RUN["groups"])
        ]
    )
    base = {"mean_std_norm": GRPO, "mean_norm": DrGRPO}[norm](cross_steps=True, singletons="raw")
    g2po = G2PO(norm=norm, base=base)
    rewards = table.term("outcome")
    assert g2po.step_advantages(table, rewards) == pytest.approx(G2PO_RUN[norm]["step"], abs=1e-5)
    assert g2po(table, rewards) == pytest.approx(G2PO_RUN[norm]["total"], abs=1e-5)


@given(tables(), st.sampled_from([0.5, 0.95, 1.0]), st.booleans())
def test_g2po_agrees_with_the_slow_obvious_version(
    table: StepTable, gamma: float, scale: bool
) -> None:
    rewards = table.term("outcome")
    g2po = G2PO(gamma=gamma, norm="mean_std_norm" if scale else "mean_norm")
    expected = _slow_g2po(table, table.per_trajectory(rewards), gamma, scale)
    assert g2po.step_advantages(table, rewards) == pytest.approx(expected, abs=1e-7)


def test_the_only_step_of_a_group_has_no_g2po_advantage() -> None:
    table = build_table([make_group([make_step(state="s", outcome=10.0)])])
    assert G2PO()(table, table.term("outcome")).tolist() == [0.0]


def _walk_g2po(trajectory: dict) -> list:
    """Steps through the states; the last one earns what the trajectory does."""
    *others, last = trajectory["states"]
    reward = 10.0 if trajectory["success"] else 0.0
    return [*(make_step(state=state) for state in others), make_step(state=last, outcome=reward)]


def _slow_g2po(table: StepTable, returns: np.ndarray, gamma: float, scale: bool) -> np.ndarray:
    seen, after = defaultdict(list), {}
    for row in range(table.num_steps):
        trajectory = table.trajectory[row]
        left = table.step_start[trajectory + 1] - row
        seen[_node(table, row)].append(gamma**left * returns[trajectory])
    values = {node: float(np.mean(worth)) for node, worth in seen.items()}
    by_node, by_group = defaultdict(list), defaultdict(list)
    for row in range(table.num_steps):
        is_last = row + 1 == table.step_start[table.trajectory[row] + 1]
        after[row] = returns[table.trajectory[row]] if is_last else values[_node(table, row + 1)]
        if not sampled(table)[row]:
            continue
        by_node[_node(table, row)].append((row, after[row]))
        gain = after[row] - values[_node(table, row)]
        by_group[table.step_group[row]].append((row, gain))
    expected = np.zeros(table.num_steps)
    for members in [*by_node.values(), *by_group.values()]:
        rows, worth = [row for row, _ in members], np.array([value for _, value in members])
        if len(rows) > 1 and np.ptp(worth) > 1e-12:
            divisor = worth.std(ddof=1) + 1e-6 if scale else 1.0
            expected[rows] += (worth - worth.mean()) / divisor
    return expected


def _node(table: StepTable, row: int) -> tuple:
    state = table.state[row]
    return (table.step_group[row], state) if state >= 0 else ("unseen", row)


@pytest.mark.parametrize(("distance", "reference", "paper"), [(6, 0.696, 0.275), (8, 0.275, 0.004)])
def test_graph_gpo_reaches_as_far_as_its_scale_lets_it(
    distance: int, reference: float, paper: float
) -> None:
    """Two ways from s, of `distance` steps and of one more; equation 4 has omega^(d + 1)."""
    short = [make_step(state=f"{n}", next_state=f"{n - 1}") for n in range(distance, 0, -1)]
    short[-1].reward_terms["outcome"] = 1.0
    into = make_step(state=str(distance), next_state="x")
    out = make_step(state="x", next_state=str(distance - 1))
    table = build_table([make_group(short, [into, out, *short[1:]])])
    for scale, expected in ((10.0, reference), (0.1, paper)):
        steps = GraphGPO(success_reward=scale).step_advantages(table)
        assert steps[0] == pytest.approx(expected, abs=1e-3)


def test_graph_gpo_asks_the_outcome_and_not_the_shaped_rewards() -> None:
    """A tenth for form, which failures have too."""
    hit = [make_step(state="start", outcome=1.0)]
    miss = [make_step(state="start", next_state="pit"), make_step(state="pit")]
    table = build_table([make_group(hit, miss)])
    advantages = GraphGPO(step_weight=1.0)(table, table.term("outcome") + 0.1)
    assert advantages[0] > 0 > advantages[1]
    assert GraphGPO().step_advantages(table)[0] > 0
    other = GraphGPO(success_term="solved")
    with pytest.raises(ConfigError, match="GraphGPO reads 'solved'"):
        other(table, table.term("outcome"))


def test_graph_gpo_takes_one_pass_over_a_long_chain() -> None:
    """30,000 states: 30,000 passes over all of them would take minutes."""
    number = 30_000
    chain = [make_step(state=str(n), next_state=str(n + 1)) for n in range(number)]
    chain[-1].reward_terms["outcome"] = 1.0
    table = build_table([make_group(chain, chain[::2])])
    assert np.isfinite(GraphGPO(omega=0.9999).step_advantages(table)).all()


def _slow_hgpo(table: StepTable, returns: np.ndarray, history: int, scale: bool) -> np.ndarray:
    members = defaultdict(list)
    for row in np.flatnonzero(sampled(table)):
        for depth in range(1, min(history + 1, table.step[row] + 1) + 1):
            states = table.state[row - depth + 1 : row + 1]
            if (states >= 0).all():
                members[depth, table.step_group[row], tuple(states)].append(row)
    sums, weights = np.zeros((2, table.num_steps))
    for (depth, *_), rows in members.items():
        distance = returns[rows] - returns[rows].mean()
        if len(rows) < 2 or np.ptp(returns[rows]) == 0:
            continue
        advantage = distance / (returns[rows].std() + 1e-6) if scale else distance
        for row, value in zip(rows, advantage, strict=True):
            if abs(value) > 1e-12:
                sums[row] += (depth + 1) ** 1.5 * value
                weights[row] += (depth + 1) ** 1.5
    return sums / (weights + 1e-6)


def _slow_graph(table: StepTable, succeeded: np.ndarray) -> np.ndarray:
    expected = np.zeros(table.num_steps)
    for group in range(table.num_groups):
        rows = np.flatnonzero(table.step_group == group)
        if not succeeded[table.group == group].any():
            continue
        edges = {}
        for row in rows:
            trajectory = table.trajectory[row]
            last = row + 1 == table.step_start[trajectory + 1]
            source = table.state[row] if table.state[row] >= 0 else ("from", row)
            target = table.next_state[row] if table.next_state[row] >= 0 else ("to", row)
            edges[row] = (source, "success" if last and succeeded[trajectory] else target)
        distance = {"success": 0}
        for _ in rows:
            for source, target in edges.values():
                if target in distance:
                    distance[source] = min(distance.get(source, 10**9), distance[target] + 1)
        beyond = max(distance.values()) + 1
        worth = {row: 10 * 0.1 ** distance.get(edges[row][1], beyond) for row in rows}
        by_source = defaultdict(list)
        for row in rows[sampled(table)[rows]]:
            by_source[edges[row][0]].append(row)
        for members in by_source.values():
            values = np.array([worth[row] for row in members])
            if len(members) > 1 and np.ptp(values) > 0:
                expected[members] = (values - values.mean()) / (values.std(ddof=1) + 1e-6)
    return expected
