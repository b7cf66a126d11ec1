"""The optimal policy of an environment whose whole dynamics are written down in a table."""

from collections.abc import Mapping
from typing import Any

_DISCOUNT = 0.999  # below 1, so that of two ways the shorter one is better
_TOLERANCE = 1e-9
_MAX_SWEEPS = 100_000

Dynamics = Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]]
"""state -> action -> (probability, next state, reward, terminated), as the toy-text ones have it."""


def best_actions(dynamics: Dynamics) -> list[int]:
    """Return the best action in every state, by value iteration.

    >>> best_actions({0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 1, 1.0, True)]}, 1: {0: [], 1: []}})
    [1, 0]
    """
    values = _values(dynamics)
    return [int(row.argmax()) for row in values]


def _values(dynamics: Dynamics) -> Any:
    """Return the value of every action in every state, [states, actions]."""
    import numpy as np

    shape = len(dynamics), len(dynamics[0])
    outcomes = max((len(each) for row in dynamics.values() for each in row.values()), default=1)
    chance, reward = np.zeros((*shape, outcomes)), np.zeros((*shape, outcomes))
    to, goes_on = np.zeros((*shape, outcomes), int), np.zeros((*shape, outcomes))
    for state, row in dynamics.items():
        for action, listed in row.items():
            for number, (probability, next_state, gain, terminated) in enumerate(listed):
                place = state, action, number
                chance[place], reward[place] = probability, gain
                to[place], goes_on[place] = next_state, not terminated
    best = np.zeros(shape[0])
    for _ in range(_MAX_SWEEPS):
        values = (chance * (reward + _DISCOUNT * goes_on * best[to])).sum(-1)
        change = np.abs(values.max(-1) - best).max()
        best = values.max(-1)
        if change < _TOLERANCE:
            break
    return values
