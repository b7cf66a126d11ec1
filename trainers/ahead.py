"""Episodes of the steps to come, played while the steps before them are trained on."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agentgym.trainers.refill import Collected

T = TypeVar("T")

Play = Callable[[int], Coroutine[Any, Any, Collected]]
"""Plays the episodes of a step, by its number."""


class Ahead:
    """The collections of a step and of those after it, each a task of its own.

    That of step s is begun when step s - `max_staleness` is taken, with the weights of that step
    in the engine, so that its tokens are older than the policy that is trained on them by
    `max_staleness` steps at most. An episode that takes long holds up its own step and no other.
    """

    def __init__(self, play: Play, *, max_staleness: int, steps: int) -> None:
        """`steps` are those of the training; nothing is begun behind the last."""
        self._play = play
        self._max_staleness = max_staleness
        self._steps = steps
        self._playing: dict[int, asyncio.Task[Collected]] = {}
        self._last_end = 0.0

    async def take(self, step: int) -> Collected:
        """Begin the collections that are due at a step, and return its own when it is there.

        Raises:
            AgentGymError: a collection failed, be it of this step or of one to come.
        """
        for each in range(step, min(step + self._max_staleness + 1, self._steps)):
            if each not in self._playing:
                self._playing[each] = asyncio.create_task(self._play(each))
                self._playing[each].add_done_callback(self._note_end)
        collected = await self._first(self._playing[step])
        del self._playing[step]
        return collected

    async def beside(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin other work and await it; it is given up when a collection fails.

        Raises:
            AgentGymError: one did.
        """
        task = asyncio.create_task(work())
        try:
            return await self._first(task)
        finally:
            await _cancel(task)

    def overlap(self, since: float) -> float:
        """Return in which share of the time since then, as `perf_counter` tells it, any played."""
        now = time.perf_counter()
        is_playing = any(not task.done() for task in self._playing.values())
        until = now if is_playing else max(since, self._last_end)
        return (until - since) / max(now - since, 1e-9)

    async def close(self) -> None:
        """Give up what is played; episodes that came to their end are in the record. Idempotent."""
        playing, self._playing = self._playing, {}
        await _cancel(*playing.values())

    async def _first(self, task: asyncio.Task[T]) -> T:
        """Return what a task does, or raise what any collection raises before."""
        while True:
            for each in self._playing.values():
                if each.done():
                    each.result()
            if task.done():
                return task.result()
            running = {each for each in self._playing.values() if not each.done()}
            await asyncio.wait({task, *running}, return_when=asyncio.FIRST_COMPLETED)

    def _note_end(self, _: asyncio.Task[Collected]) -> None:
        self._last_end = time.perf_counter()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
