"""Environments whose tools only take time, or not even that."""

import asyncio
import random
from collections.abc import Iterator
from typing import ClassVar

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.types import Message, Task, derive_seed

ANSWER = "The tool has run. Its output is 0 lines long, there were no errors. What do you do next?"
_PROMPT = "Task {number}. Use the tools that you are given until the work is done, one call a turn."

TEXTS = (_PROMPT, ANSWER)
"""What the tokenizer of a model shall know."""


class WaitingConfig(EnvConfig):
    """A tool that takes as long as chance says, the same in every mode."""

    id: ClassVar[str] = "agentgym-bench/Waiting-v0"
    uses_seed: ClassVar[bool] = True
    turns: int = 6
    mean_s: float = 0.2
    """Of the exponential distribution of latencies."""
    slow_share: float = 0.0
    """Calls that take `slow_s` instead."""
    slow_s: float = 5.0

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield one task."""
        yield make_task(0)

    def build(self, sandboxes: object = None) -> "Waiting":
        """Make one environment."""
        return Waiting(self)

    def latency(self, seed: int, turn: int) -> float:
        """Return how long the call of a turn takes in the episode of this seed, in seconds."""
        chance = random.Random(derive_seed(seed, turn))
        if chance.random() < self.slow_share:
            return self.slow_s
        return chance.expovariate(1 / self.mean_s)


def make_task(number: int, *, salt: str = "") -> Task:
    """Return a task; its prompt begins like no other, so that no cache knows it."""
    return Task(_PROMPT.format(number=f"{number}{salt}"), id=f"task-{number}")


class Waiting(Env):
    """Answers every message alike, after a while."""

    def __init__(self, config: WaitingConfig) -> None:
        self._config = config
        self._seed = self._turn = 0

    async def reset(self, task: Task, *, seed: int) -> Reset:
        """Show the task."""
        self._seed, self._turn = seed, 0
        return Reset((Message("user", task.prompt),))

    async def step(self, message: Message) -> EnvStep:
        """Let the tool take its time."""
        await asyncio.sleep(self._config.latency(self._seed, self._turn))
        self._turn += 1
        is_last = self._turn == self._config.turns
        return EnvStep((Message("user", ANSWER),), {"outcome": float(is_last)}, terminated=is_last)


class TrivialConfig(EnvConfig):
    """Counts its steps."""

    id: ClassVar[str] = "agentgym-bench/Trivial-v0"
    max_turns: int = 20

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield one task."""
        yield make_task(0)

    def build(self, sandboxes: object = None) -> "Trivial":
        """Make one environment."""
        return Trivial(self.max_turns)


class Trivial(Env):
    """Says which step it is."""

    inline = True

    def __init__(self, turns: int) -> None:
        self._turns, self._turn = turns, 0

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Show the task."""
        self._turn = 0
        return Reset((Message("user", task.prompt),))

    def step(self, message: Message) -> EnvStep:
        """Count."""
        self._turn += 1
        is_last = self._turn == self._turns
        answer = Message("user", f"step {self._turn}")
        return EnvStep((answer,), {"outcome": float(is_last)}, terminated=is_last)

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Say the same again and again."""
        said = Message("assistant", "go on")
        return lambda messages: said
