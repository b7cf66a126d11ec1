"""What a run is doing just now: its phase, how far that is, how long it took, and whether to stop."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agentgym.trainers.interrupt import Interrupt, Interrupted
from agentgym.trainers.scalars import Clock

OnPhase = Callable[[str, int, int], None]
"""(name of the phase, done, of how many)."""

T = TypeVar("T")


class Watch:
    """Times the phases, tells how far they are and ends them when the user interrupts.

    A phase counts parts of its own, or those that belong to something, which may be done before
    the phase begins: the episodes whose ids begin alike.
    """

    def __init__(self, interrupt: Interrupt, on_phase: OnPhase | None) -> None:
        self.clock = Clock()
        self._interrupt = interrupt
        self._on_phase = on_phase
        self._name, self._of = "", ""
        self._done: Counter[str] = Counter()
        self._total: Counter[str] = Counter()

    def restart(self) -> None:
        """Begin a step: all seconds are counted anew."""
        self.clock = Clock()

    @contextmanager
    def phase(self, name: str, total: int = 0, *, of: str = "") -> Iterator[None]:
        """Enter a phase of `total` parts."""
        del self._done[self._of], self._total[self._of]  # of the phase before
        self._name, self._of = name, of
        self._total[of] += total
        with self.clock.phase(name):
            yield

    async def run(self, name: str, total: int, work: Coroutine[Any, Any, T], *, of: str = "") -> T:
        """Await a phase; an interruption gives it up.

        Raises:
            Interrupted: the user wants to stop.
        """
        with self.phase(name, total, of=of):
            self.advance(0, of=of)
            return await self._interrupt.give_up(work)

    def expect(self, parts: int, *, of: str) -> None:
        """Take note that there are more parts of something than were told."""
        self._total[of] += parts

    def advance(self, parts: int = 1, *, of: str = "") -> None:
        """Take note that parts are done, and tell of it where the phase counts them."""
        self._done[of] += parts
        if self._on_phase is not None and of == self._of:
            self._on_phase(self._name, self._done[of], self._total[of])

    def check(self) -> None:
        """Raise Interrupted when the user wants to stop."""
        if self._interrupt.requested:
            raise Interrupted
