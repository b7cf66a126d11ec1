"""KeyDoor solved, against a recursion that is slow and obvious, and against play."""

import pytest

from agentgym.envs.keydoor.env import KeyDoorConfig
from agentgym.envs.keydoor.layout import MOVES, Layout
from agentgym.errors import ConfigError
from agentgym.lab.exact import ExactKeyDoor, State
from agentgym.types import Message, Step, Task, Trajectory

ROWS = ["SK..", "LD..", "....", "...L"]
HORIZON = 5


def layout() -> Layout:
    return Layout.from_rows(ROWS)


def solved(epsilon: float, gamma: float = 1.0, horizon: int = HORIZON) -> ExactKeyDoor:
    return ExactKeyDoor(KeyDoorConfig(max_turns=horizon), epsilon=epsilon, gamma=gamma)


def moved(*moves: str) -> Trajectory:
    task = Task("", payload={"rows": ROWS})
    steps = [Step(message=Message("assistant", move), action_key=move) for move in moves]
    return Trajectory(id="t", task=task, group_id="g", steps=steps)


def slow_value(epsilon: float, gamma: float, state: State, left: int) -> float:
    """All ways of the moves that are left, one by one."""
    if not left:
        return 0.0
    (cell, has_key), grid = state, layout()
    best = grid.best_move(cell, has_key=has_key)
    total = 0.0
    for move in MOVES:
        chance = epsilon / 4 + (1 - epsilon) * (move == best)
        total += chance * slow_worth(epsilon, gamma, (cell, has_key), move, left)
    return total


def slow_worth(epsilon: float, gamma: float, state: State, move: str, left: int) -> float:
    (cell, has_key), grid = state, layout()
    to = grid.neighbour(cell, move) or cell
    holds = has_key or to == grid.key
    if to in grid.lava:
        return 0.0
    if holds and to == grid.door:
        return 1.0
    return gamma * slow_value(epsilon, gamma, (to, holds), left - 1)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0])
def test_values_are_those_of_the_slow_obvious_version(epsilon: float, gamma: float) -> None:
    exact = solved(epsilon, gamma)
    start: State = (layout().start, False)
    expected = slow_value(epsilon, gamma, start, HORIZON)
    assert exact.value(layout()) == pytest.approx(expected, abs=1e-12)
    (first, second) = exact.worths(moved("right", "left"))
    worth = slow_worth(epsilon, gamma, start, "right", HORIZON)
    assert first == pytest.approx((worth, worth - expected), abs=1e-12)
    at_key: State = (layout().key, True)
    worth = slow_worth(epsilon, gamma, at_key, "left", HORIZON - 1)
    value = slow_value(epsilon, gamma, at_key, HORIZON - 1)
    assert second == pytest.approx((worth, worth - value), abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_advantages_of_a_state_have_the_mean_0(epsilon: float) -> None:
    exact = solved(epsilon)
    chances = exact.probabilities(layout(), (layout().start, False))
    assert sum(chances.values()) == pytest.approx(1.0)
    mean = sum(chances[move] * exact.worths(moved(move))[0].advantage for move in MOVES)
    assert mean == pytest.approx(0.0, abs=1e-12)


def test_who_always_moves_well_reaches_the_door() -> None:
    assert solved(0.0).value(layout()) == 1.0
    assert solved(0.0, gamma=0.5).value(layout()) == 0.5  # two moves, one discount
    assert solved(0.0, horizon=1).value(layout()) == 0.0
    assert [each.advantage for each in solved(0.0).worths(moved("right", "down"))] == [0.0, 0.0]
    assert solved(0.0).worths(moved("down"))[0] == (0.0, -1.0)  # lava


def test_what_is_no_move_is_refused() -> None:
    with pytest.raises(ConfigError, match="'jump' is no move"):
        solved(0.5).worths(moved("jump"))
