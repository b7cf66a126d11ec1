"""A game of TextArena, against nobody or against a scripted player."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import count, islice
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.textarena.experts import expert_of
from agentgym.envs.textarena.game import Game
from agentgym.envs.textarena.games import canonical, known
from agentgym.envs.textarena.opponents import candidates, player_by_chance
from agentgym.errors import ConfigError, TaskError
from agentgym.tools.results import cut
from agentgym.types import OUTCOME, Message, Task, digest

_NUM_TEST = 256
_MAX_SEEN_CHARS = 20_000
_NUM_ACTIONS = 16
_SURELY = 1e-9


class TextArenaConfig(EnvConfig):
    """Which game of TextArena.

    Of two players, the policy is the first in every other task, and wins 1, draws 0.5, loses 0.
    """

    id: ClassVar[str] = "agentgym/TextArena-v0"
    packages: ClassVar[tuple[str, ...]] = ("textarena",)

    max_turns: int = Field(default=100, ge=1)
    """Moves of the policy after which an episode is truncated; games have limits of their own."""
    game: str = "Mastermind-v0"
    """Its id in TextArena; -train or -raw at the end choose what it shows."""
    opponent: Literal["random", "expert"] = "random"
    """Who the other player is; an expert knows Nim and TicTacToe only."""
    partial: bool = False
    """Whether a game for one pays for part of the way; else 1 for its full reward, and 0."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield seeds: test has 256, train all others.

        Raises:
            ConfigError: the game cannot be played here.
            MissingError: textarena, or data that the game needs, is not there.
        """
        known(self.game)  # better said now than once for every episode
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.game).lower()
        seeds = range(_NUM_TEST) if split == "test" else count(_NUM_TEST)
        return (
            Task(f"{self.game}, seed {seed}", id=f"{name}-{seed}", payload={"seed": seed})
            for seed in seeds
        )

    def build(self, sandboxes: object = None) -> "TextArenaEnv":
        """Make one environment."""
        return TextArenaEnv(self)


class TextArenaEnv(Env):
    """`outcome` comes with the end, and so does `reward`, the game's own."""

    inline: ClassVar[bool] = True

    game: Game
    """The game of the present episode."""

    def __init__(self, config: TextArenaConfig) -> None:
        self._config = config

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Start the game with the seed of the task; the seed of the episode changes nothing."""
        number = task.payload.get("seed") if isinstance(task.payload, dict) else None
        if not isinstance(number, int):
            raise TaskError(
                f"task {task.id} has no seed in its payload",
                hint="take tasks from TextArenaConfig().tasks(split)",
            )
        self.game = game = Game(self._config.game, seed=number)
        self._other = self._other_player(number) if game.num_players == 2 else None
        self._let_the_other_play()
        self._prompt = self._news = said = _said(game.news(game.seat))
        return Reset(said)

    def step(self, message: Message) -> EnvStep:
        """Move, and let the other player move."""
        game = self.game
        if not game.is_over:
            game.act(message.content)
            self._let_the_other_play()
        if game.is_over:
            return self._end()
        self._news = said = _said(game.news(game.seat))
        return EnvStep(said, {})

    def state_key(self) -> str | None:
        """Identify what the game knows of its state, whose turn it is, and refused moves."""
        state = self.game.state
        return digest(self.game.turn, state.error_count, canonical(state.game_state))

    def actions(self) -> Sequence[str]:
        """Return some moves that the game may take: shown in brackets, or like those of the rules."""
        moves = candidates(
            self._news[0].content, self._prompt[0].content, Random(self.game.state.turn)
        )
        return tuple(islice(moves, _NUM_ACTIONS))

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return a good player of the games that have one."""
        player = expert_of(self._config.game, self.game.bare) if level == "expert" else None
        if player is None:
            return super().expert(task, seed=seed, level=level)

        def play(conversation: Sequence[Message]) -> Message:
            return Message("assistant", player())

        return play

    def _other_player(self, seed: int) -> Callable[[Game], None]:
        if self._config.opponent == "random":
            return player_by_chance(seed)
        name = self._config.game
        player = expert_of(name, self.game.bare)
        if player is None:
            raise ConfigError(f"there is no expert of {name}", hint='env.opponent="random"')
        return lambda game: game.act(player())

    def _let_the_other_play(self) -> None:
        if self._other is not None:
            while not self.game.is_over and self.game.turn != self.game.seat:
                self._other(self.game)

    def _end(self) -> EnvStep:
        game = self.game
        told = "\n".join(filter(None, (game.news(game.seat), game.reason())))
        reward = game.reward()
        if game.num_players == 2:
            outcome = (_clip(reward, -1.0) + 1) / 2 if not game.fault else 0.0
        elif self._config.partial:
            outcome = _clip(reward, 0.0)
        else:
            outcome = float(reward > 1 - _SURELY)
        return EnvStep(_said(told), {OUTCOME: outcome, "reward": reward}, terminated=True)


def _clip(value: float, low: float) -> float:
    return min(1.0, max(low, value))


@lru_cache(maxsize=1 << 12)
def _said(text: str) -> tuple[Message, ...]:
    """Return an observation that is not too long, and that a file can hold.

    Games repeat themselves, and a message never changes.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return (Message("user", cut(text, _MAX_SEEN_CHARS)),)
