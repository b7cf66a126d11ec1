"""KeyDoor whose moves take time, as tools do: `env.id=docs/experiments/slow_keydoor.py`."""

import asyncio
import random
from typing import ClassVar

from agentgym.env import EnvStep
from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.envs.keydoor.env import KeyDoor
from agentgym.types import Message


class SlowKeyDoorConfig(KeyDoorConfig):
    """Which grids, and how slow."""

    id: ClassVar[str] = "experiments/SlowKeyDoor-v0"
    latency_s: float = 0.2
    """Mean of the exponential distribution of what a move takes."""

    def build(self, sandboxes: object = None) -> "SlowKeyDoor":
        """Make one grid."""
        return SlowKeyDoor(self)


class SlowKeyDoor(KeyDoor):
    """The grid, after a while."""

    def __init__(self, config: SlowKeyDoorConfig) -> None:
        super().__init__(config)
        self._latency_s = config.latency_s

    async def step(self, message: Message) -> EnvStep:
        """Move."""
        await asyncio.sleep(random.expovariate(1 / self._latency_s))
        return super().step(message)
