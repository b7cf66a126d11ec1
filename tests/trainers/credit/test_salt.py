from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.salt import SALT


@given(tables(), st.integers(1, 4))
def test_agrees_with_the_slow_obvious_version(table: StepTable, history: int) -> None:
    """Transitions as tuples of keys, in a dictionary."""
    salt = SALT(history=history)
    relative = np.arange(1.0, table.num_trajectories + 1)
    expected = _slow(table, relative, history)
    assert salt.merge(table, relative) == pytest.approx(expected, abs=1e-12)


@given(tables(), st.integers(1, 4))
def test_merging_conserves_the_sum_over_each_transition(table: StepTable, history: int) -> None:
    salt = SALT(history=history)
    rewards = table.term("outcome")
    before, after = GRPO()(table, rewards), salt(table, rewards)
    edges = salt.transitions(table)
    assert np.bincount(edges, weights=after) == pytest.approx(
        np.bincount(edges, weights=before), abs=1e-9
    )


@given(tables())
def test_a_longer_history_merges_less(table: StepTable) -> None:
    counts = [SALT(history=history).transitions(table).max() for history in (1, 2, 3, 4)]
    assert counts == sorted(counts)


def test_steps_without_a_next_observation_are_not_merged() -> None:
    table = build_table([_group([("s", "a", None)], [("s", "a", None)])])
    assert SALT().merge(table, np.array([1.0, -1.0])).tolist() == [1.0, -1.0]


def test_a_first_step_from_another_observation_is_not_merged() -> None:
    table = build_table([_group([("s", "a", "t")], [("r", "a", "t")])])
    assert SALT().merge(table, np.array([1.0, -1.0])).tolist() == [1.0, -1.0]


def test_another_action_between_equal_observations_is_not_merged() -> None:
    table = build_table([_group([("s", "a", "t")], [("s", "b", "t")])])
    assert SALT().merge(table, np.array([1.0, -1.0])).tolist() == [1.0, -1.0]


def test_equal_transitions_of_different_groups_are_not_merged() -> None:
    groups = [_group([("s", "a", "t")], name=name) for name in ("g", "h")]
    assert SALT().merge(build_table(groups), np.array([1.0, -1.0])).tolist() == [1.0, -1.0]


def _group(*episodes: Sequence[tuple[str, str, str | None]], name: str = "g"):
    return make_group(
        *(
            [make_step(state=state, action=action, next_state=after) for state, action, after in e]
            for e in episodes
        ),
        name=name,
    )


def _slow(table: StepTable, relative: Floats, history: int) -> Floats:
    occurrences = defaultdict(list)
    for m in range(table.num_trajectories):
        first, stop = table.step_start[m], table.step_start[m + 1]
        past: list[object] = [("start", table.state[first])]
        for row in range(first, stop):
            after = table.next_state[row] if table.next_state[row] >= 0 else ("none", row)
            pair = (table.action[row], after)
            key = (table.group[m], tuple(past[-history:]), pair)
            occurrences[key].append(row)
            past.append(pair)
    merged = np.zeros(table.num_steps)
    for rows in occurrences.values():
        merged[rows] = relative[table.trajectory[rows]].mean()
    return merged
