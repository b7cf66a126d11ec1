"""One game of TextArena, as one of its players sees it.

Games draw from the module `random`, which is one for the whole process. While a game plays, a
generator that belongs to the episode stands in for that module, in the modules of the game only:
nothing has to be saved and put back, and nobody else's numbers change.
"""

import random
import threading
from typing import Any, ClassVar

from agentgym.envs.textarena.games import explained, known

_MAX_ACTION_CHARS = 4000  # Python reads no number of more digits
_GAME = -1  # as TextArena has it; some games put other things there

_alone = threading.RLock()


class Game:
    """A game from its first observation to its rewards.

    Raises:
        ConfigError: there is no such game, it cannot be made, or it is not for one or two.
        MissingError: textarena, or data that the game needs, is not there.
    """

    __slots__ = (
        *("bare", "fault", "is_over", "num_players", "seat", "state"),
        *("_chance", "_env", "_known", "_spaces"),
    )

    def __init__(self, name: str, *, seed: int) -> None:
        self._known = game = known(name)
        self.num_players = game.num_players
        self.seat = seed % game.num_players
        self.is_over = False
        self.fault = ""
        self._chance = chance = _Chance(seed)
        self._spaces = game.spaces
        with _alone:
            game.shared["random"] = chance
            for space in game.spaces:
                space["random"] = chance
            try:
                self._env, self.bare = game.make()
                self._env.reset(num_players=game.num_players, seed=seed)
            except Exception as error:
                raise explained(name, error) from error
            finally:
                game.shared["random"] = random
                for space in game.spaces:
                    space["random"] = random
        self.state = self.bare.state

    @property
    def turn(self) -> int:
        """Who is to move."""
        return int(self.state.current_player_id)

    def act(self, text: str) -> None:
        """Move for whoever is to move; a move that makes the game raise ends it."""
        text = text[-_MAX_ACTION_CHARS:]  # the move comes after the reasoning
        for edit in self._known.edits:
            text = edit(text)
        with _alone:
            for space in self._spaces:
                space["random"] = self._chance
            try:
                self.is_over, _ = self._env.step(text)
            except Exception as error:  # noqa: BLE001  games do not foresee every text
                self.is_over, self.fault = True, f"{type(error).__name__}: {error}"
            finally:
                for space in self._spaces:
                    space["random"] = random

    def news(self, player: int) -> str:
        """Return what a player has not seen yet, as TextArena tells it, without its own moves."""
        state, game = self.state, self._known
        if game.has_view and not self.is_over and self.turn == player == self.seat:
            return str(self._env.get_observation()[1])
        told, state.observations[player] = state.observations[player], []
        names, is_alone = state.role_mapping, self.num_players == 1
        lines = []
        for sender, text, kind in told:
            if sender == _GAME:
                if not (is_alone and kind is game.move):
                    lines.append(f"[GAME] {text}")
            elif sender != player or kind is not game.move:
                lines.append(f"[{names.get(sender, f'Player {sender}')}] {text}")
        return "\n".join(lines)

    def reward(self) -> float:
        """Return the game's own reward; some games give a text where they mean none."""
        if self.fault or self.state.rewards is None:
            return 0.0
        value = self.state.rewards.get(self.seat)
        return float(value) if isinstance(value, int | float) else 0.0

    def reason(self) -> str:
        """Return why it ended."""
        if self.fault:
            return f"The game could not take this move ({self.fault})."
        return str(self.state.game_info.get(self.seat, {}).get("reason") or "The game is over.")


class _Chance:
    """What stands in for the module `random`; most games seed it before they draw."""

    __slots__ = ("_first", "_random")

    Random: ClassVar[type[random.Random]] = random.Random

    def __init__(self, seed: int) -> None:
        self._first = seed

    def seed(self, a: Any = None) -> None:
        """Begin anew, without the machine's own entropy."""
        self._random = random.Random(self._first if a is None else a)

    def __getattr__(self, name: str) -> Any:
        """Be a generator in all else."""
        if name == "_random":
            self.seed()
            return self._random
        return getattr(self._random, name)
