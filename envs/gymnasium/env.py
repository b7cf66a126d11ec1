"""An environment of Gymnasium, played in text."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, ClassVar

from pydantic import Field

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.gymnasium.game import Game, Games, View, games_of, said
from agentgym.envs.gymnasium.views import is_minigrid, minigrid_key
from agentgym.errors import TaskError
from agentgym.panels import Panel
from agentgym.types import OUTCOME, Message, Task

_NUM_TEST = 256


_DEFAULT_KWARGS = {"FrozenLake-v1": '{"is_slippery": false}'}


class GymnasiumConfig(EnvConfig):
    """Which environment of Gymnasium, and how it is told.

    The outcome is the plain sum of its rewards, so that a success is any positive return. To
    train on one environment, subclass this with an id, a `reward_range` and a `success` of its
    own.
    """

    id: ClassVar[str] = "agentgym/Gymnasium-v0"
    packages: ClassVar[tuple[str, ...]] = ("gymnasium",)
    reward_range: ClassVar[tuple[float, float]] = (-10_000.0, 10_000.0)
    success: ClassVar[float] = 0.001

    max_turns: int = Field(default=100, ge=1)
    """Steps after which an episode is truncated; the environment may have a limit of its own."""
    env: str = "FrozenLake-v1"
    """Its id; package:Name-v0 where a package registers it, as minigrid:MiniGrid-DoorKey-5x5-v0."""
    kwargs: dict[str, Any] | None = None
    """What `gymnasium.make` is given; null: nothing, except that FrozenLake-v1 does not slip."""
    actions: tuple[str, ...] | None = None
    """Names of discrete actions in order; null: those that are known, else numbers."""
    view: View = "auto"
    """ansi is the picture it draws, values its observation in numbers, grid is for MiniGrid."""
    invalid_reward: float | None = None
    """Outcome of a turn that is no action; null: 0, or -1 where every step costs."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield seeds: test has 256, train all others."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.env).lower()
        seeds = range(_NUM_TEST) if split == "test" else count(_NUM_TEST)
        return (
            Task(
                f"{self.env}, seed {seed}",
                id=f"{name}-{seed}",
                payload={"seed": seed},
                split=split,
            )
            for seed in seeds
        )

    def build(self, sandboxes: object = None) -> "GymnasiumEnv":
        """Make one environment."""
        return GymnasiumEnv(self)

    def games(self) -> Games:
        """Return what it plays."""
        if self.kwargs is None:
            kwargs = _DEFAULT_KWARGS.get(self.env, "{}")
        else:
            kwargs = json.dumps(self.kwargs, sort_keys=True)
        return games_of(self.env, kwargs, self.view, self.actions)


class GymnasiumEnv(Env):
    """`outcome` is the reward of each step, `valid` 1.0 where the text was an action."""

    inline: ClassVar[bool] = True  # cheaper than a thread, and some want to stay on theirs

    def __init__(self, config: GymnasiumConfig) -> None:
        self._games = config.games()
        self._invalid_reward = config.invalid_reward
        self._game: Game | None = None

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Reset with the seed of the task; the seed of the episode changes nothing."""
        number = task.payload.get("seed") if isinstance(task.payload, dict) else None
        if not isinstance(number, int):
            raise TaskError(
                f"task {task.id} has no seed in its payload",
                hint="take tasks from GymnasiumConfig().tasks(split)",
            )
        self._game = game = self._games.take()
        self._step, self._show, self._parse = game.env.step, game.show, game.actions.parse
        try:
            observation, _ = game.env.reset(seed=number)
        except BaseException:
            self._drop()
            raise
        self._shown = shown = game.show(observation)
        if game.has_mission:
            shown = said(f"{observation['mission']}.\n{shown[0].content}")
        return Reset((game.rules, *shown))

    def step(self, message: Message) -> EnvStep:
        """Take an action; any other text costs a turn."""
        action = None if message.tool_calls else self._parse(message.content)
        if action is None:
            return self._refuse()
        try:
            observation, reward, terminated, truncated, _ = self._step(action)
        except BaseException:
            self._drop()
            raise
        self._shown = shown = self._show(observation)
        terms = {OUTCOME: float(reward), "valid": 1.0}
        return EnvStep(shown, terms, bool(terminated), bool(truncated))

    def close(self) -> None:
        """Leave the game to the next episode."""
        if self._game is not None:
            self._games.give_back(self._game)
            self._game = None

    def state_key(self) -> str | None:
        """Identify the state by its number, or by MiniGrid's grid; else the last observation."""
        env = self._played.env.unwrapped
        if isinstance(getattr(env, "P", None), dict):
            return str(env.s)
        if is_minigrid(env.observation_space):
            return minigrid_key(env)
        return None

    def panels(self) -> tuple[Panel, ...]:
        """Draw MiniGrid's whole grid, or what the environment draws for a terminal."""
        return self._played.draw()

    def actions(self) -> Sequence[str]:
        """Return the actions, where they are few."""
        return self._played.actions.listed

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the best player of an environment that says how it works, as toy text does."""
        best = self._games.best_actions if level == "expert" else None
        if best is None:
            return super().expert(task, seed=seed, level=level)
        game = self._played

        def play(conversation: Sequence[Message]) -> Message:
            return Message("assistant", game.actions.listed[best[game.env.unwrapped.s]])

        return play

    @property
    def _played(self) -> Game:
        assert self._game is not None, "no episode is under way"
        return self._game

    def _refuse(self) -> EnvStep:
        """Answer what is no action; it costs a turn, and as much as a step does."""
        game, cost = self._played, self._invalid_reward
        text = f"That is no action. Answer with {game.actions.told}.\n{self._shown[0].content}"
        reward = game.invalid_reward if cost is None else cost
        return EnvStep((Message("user", text),), {OUTCOME: reward, "valid": 0.0})

    def _drop(self) -> None:
        """Throw a game away whose state nobody knows."""
        game, self._game = self._played, None
        game.env.close()
