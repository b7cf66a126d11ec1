"""Ctrl-C: once to stop at the next safe place, twice to stop now."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  control flow, not an error
    """Raised out of work that was given up because the user wants to stop."""


class Interrupt:
    """Holds SIGINT and SIGTERM while it is open; off the main thread it never fires.

    The first one is remembered, and gives up what runs in `give_up`. The second raises
    KeyboardInterrupt wherever the program is.
    """

    def __init__(self) -> None:
        self.requested = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._fire) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    async def give_up(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, cancelling it when the user interrupts.

        Raises:
            Interrupted: it was cancelled, or there was an interruption before it began.
        """
        if self.requested:
            work.close()
            raise Interrupted
        task = asyncio.ensure_future(work)
        self._loop, self._task = asyncio.get_running_loop(), task
        try:
            return await task
        except asyncio.CancelledError:
            if self.requested:
                raise Interrupted from None
            raise
        finally:
            self._task = None

    def _fire(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._task is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
