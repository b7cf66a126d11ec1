"""True advantages of policies on KeyDoor, by dynamic programming over all its states.

A state is a cell, whether the key is held, and how many turns are left: episodes end with
`max_turns`, so that values depend on them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from agentgym.envs.keydoor.env import KeyDoorConfig
from agentgym.envs.keydoor.layout import MOVES, Cell, Layout, distances
from agentgym.errors import ConfigError
from agentgym.types import Trajectory

State = tuple[Cell, bool]
"""The cell, and whether the key is held."""


class Worth(NamedTuple):
    """Of a step."""

    action: float
    """Q, the return from there on in the mean."""
    advantage: float
    """Q - V."""


class ExactKeyDoor:
    """Values of the policy that makes the best move, and with probability `epsilon` any move."""

    def __init__(self, config: KeyDoorConfig, *, epsilon: float, gamma: float) -> None:
        self._horizon = config.max_turns
        self._epsilon, self._gamma = epsilon, gamma
        self._values = lru_cache(maxsize=256)(self._solve)

    def worths(self, trajectory: Trajectory) -> list[Worth]:
        """Return what every step is worth.

        Raises:
            ConfigError: a step said something that is no move.
        """
        layout = Layout.from_rows(trajectory.task.payload["rows"])
        values = self._values(layout)
        found: list[Worth] = []
        state: State = (layout.start, False)
        for step, taken in enumerate(trajectory.steps):
            if taken.action_key not in MOVES:
                raise ConfigError(
                    f"{taken.action_key!r} is no move of the policy that is solved",
                    hint="leave exact values to scripted policies",
                )
            worth, after = self._worth(layout, state, taken.action_key, values[step + 1])
            found.append(Worth(worth, worth - values[step][state]))
            state = after or state
        return found

    def probabilities(self, layout: Layout, state: State) -> dict[str, float]:
        """Return how likely each move is."""
        cell, has_key = state
        chances = dict.fromkeys(MOVES, self._epsilon / len(MOVES))
        chances[layout.best_move(cell, has_key=has_key)] += 1 - self._epsilon
        return chances

    def value(self, layout: Layout) -> float:
        """Return the value of the start."""
        return self._values(layout)[0][layout.start, False]

    def _solve(self, layout: Layout) -> list[dict[State, float]]:
        """Return the values of all states after 0, 1, ... turns."""
        cells = [cell for cell in distances(layout, layout.key) if cell is not None]
        states = [(cell, has_key) for cell in cells for has_key in (False, True)]
        moves = {state: self.probabilities(layout, state) for state in states}
        values = [dict.fromkeys(states, 0.0)]
        for _ in range(self._horizon):
            later = values[-1]
            values.append(
                {
                    state: sum(
                        chance * self._worth(layout, state, move, later)[0]
                        for move, chance in moves[state].items()
                        if chance
                    )
                    for state in states
                }
            )
        return values[::-1]

    def _worth(
        self, layout: Layout, state: State, move: str, later: Mapping[State, float]
    ) -> tuple[float, State | None]:
        """Return what a move is worth, and where it leads; None where the episode ends."""
        cell, has_key = state
        to = layout.neighbour(cell, move) or cell
        has_key = has_key or to == layout.key
        if to in layout.lava:
            return 0.0, None
        if has_key and to == layout.door:
            return 1.0, None
        return self._gamma * later[to, has_key], (to, has_key)
