"""What a run is doing just now: its phase, how far that is, how long it took, and whether to stop."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agentgym.trainers.interrupt import Interrupt, Interrupted
from agentgym.trainers.scalars import Clock

OnPhase = Callable[[str, int, int], None]
"""(name of the phase, done, of how many)."""

T = TypeVar("T")


class Watch:
    """Times the phases, tells how far they are and ends them when the user interrupts."""

    def __init__(self, interrupt: Interrupt, on_phase: OnPhase | None) -> None:
        self.clock = Clock()
        self._interrupt = interrupt
        self._on_phase = on_phase
        self._name, self._done, self._total = "", 0, 0

    def restart(self) -> None:
        """Begin a step: all seconds are counted anew."""
        self.clock = Clock()

    @contextmanager
    def phase(self, name: str, total: int = 0) -> Iterator[None]:
        """Enter a phase of `total` parts."""
        self._name, self._done, self._total = name, 0, total
        with self.clock.phase(name):
            yield

    async def run(self, name: str, total: int, work: Coroutine[Any, Any, T]) -> T:
        """Await a phase; an interruption gives it up.

        Raises:
            Interrupted: the user wants to stop.
        """
        with self.phase(name, total):
            self.advance(0)
            return await self._interrupt.give_up(work)

    def advance(self, parts: int = 1) -> None:
        """Tell that parts of the phase are done."""
        self._done += parts
        if self._on_phase is not None:
            self._on_phase(self._name, self._done, self._total)

    def check(self) -> None:
        """Raise Interrupted when the user wants to stop."""
        if self._interrupt.requested:
            raise Interrupted
