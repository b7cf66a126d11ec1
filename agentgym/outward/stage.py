"""Where the episodes of one environment are played for others."""

import asyncio
import functools
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentgym.env import EnvConfig
from agentgym.outward.episode import Episode
from agentgym.outward.tasks import POOL, TaskPicker
from agentgym.tools import on_thread
from agentgym.types import Task, derive_seed

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


class Stage:
    """The tasks of a split, and the episodes that are open. It lives on one event loop.

    Args:
        config: The environment.
        split: Where tasks come from; train, where there is such a split.
        seed: Of the randomness of episodes that are opened without one of their own.
        sandboxes: Where programs of a model run; they stay open after `close`.

    Raises:
        ConfigError: there is no such split.
    """

    def __init__(
        self,
        config: EnvConfig,
        *,
        split: str | None = None,
        seed: int = 0,
        sandboxes: "Sandboxes | None" = None,
    ) -> None:
        splits = config.splits
        self.config = config
        self._tasks = TaskPicker(config, split or ("train" if "train" in splits else splits[0]))
        self._seed = seed
        self._sandboxes = sandboxes
        self._picking = asyncio.Lock()
        self._opened = 0
        self._open: set[Episode] = set()

    async def open(
        self, options: Mapping[str, Any] | None = None, *, seed: int | None = None
    ) -> Episode:
        """Start an episode; `close` of it or of this stage ends it.

        `task`, `task_id` or `index` among the options name its task. Else a seed draws one, and
        without a seed it is the next. The same seed and task are the same episode.

        Raises:
            ConfigError: the options name no task.
            EnvError: the environment raised.
        """
        async with self._picking:
            task = await on_thread(functools.partial(self._pick, dict(options or {}), seed))
        member = 0 if seed is not None else self._opened
        self._opened += 1
        run_seed = self._seed if seed is None else seed
        episode = await Episode.open(
            self.config,
            task,
            seed=derive_seed(run_seed, task.id, member, 0),
            sandboxes=self._sandboxes,
        )
        self._open = {each for each in self._open if not each.is_closed} | {episode}
        return episode

    async def close(self) -> None:
        """End the episodes that are open."""
        while self._open:
            await self._open.pop().close()

    def _pick(self, options: dict[str, Any], seed: int | None) -> Task:
        if (chosen := self._tasks.chosen(options)) is not None:
            return chosen
        if seed is None:
            return self._tasks.next()
        return self._tasks.drawn(random.Random(seed).randrange(POOL))
