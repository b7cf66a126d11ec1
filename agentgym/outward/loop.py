"""One event loop per process, on a thread of its own, for those who cannot wait with `await`.

So the synchronous face of an environment works inside a running event loop, too. A forked child
starts a loop of its own at its first call.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from agentgym.errors import AgentGymError, EnvError

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes
    from agentgym.sandboxes.backend import PoolSettings

R = TypeVar("R")

_STOP_TIMEOUT_S = 10.0


def run(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine on the loop of this process and wait for what it returns.

    Raises:
        AgentGymError: it was called on the loop itself, which would wait for itself forever.
    """
    return _of_this_process().run(work)


def lease_sandboxes(settings: "PoolSettings | None" = None) -> "Sandboxes":
    """Return the sandboxes of this process, made as the first who asks says; give them back."""
    return _of_this_process().lease_sandboxes(settings)


def release_sandboxes() -> None:
    """Give the sandboxes back; they end with the last one who holds them."""
    _of_this_process().release_sandboxes()


class _Loop:
    """A loop on a daemon thread, and the sandboxes that live on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._sandboxes: Sandboxes | None = None
        self._holders = 0
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="agentgym-outward", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        if threading.current_thread() is self._thread:
            work.close()
            raise AgentGymError(
                "a synchronous environment was stepped on the loop that runs it",
                hint="use the agentgym environment itself here, not its synchronous face",
            )
        waiting = asyncio.run_coroutine_threadsafe(_contained(work), self._loop)
        try:
            return waiting.result()
        except BaseException:  # also Ctrl-C: what nobody waits for must not go on
            waiting.cancel()
            raise

    def lease_sandboxes(self, settings: "PoolSettings | None") -> "Sandboxes":
        from agentgym.sandboxes.local import LocalSandboxConfig

        with self._lock:
            if self._sandboxes is None:
                self._sandboxes = (settings or LocalSandboxConfig()).build()
            self._holders += 1
            return self._sandboxes

    def release_sandboxes(self) -> None:
        with self._lock:
            self._holders = max(0, self._holders - 1)  # a fork may bring holders of its parent's
            if self._holders == 0:
                self._close_sandboxes()

    def stop(self) -> None:
        """End what is left when the process ends."""
        # The sandboxes end when their socket closes; no thread can be had any more to wait for it.
        with self._lock, suppress(RuntimeError):
            self._close_sandboxes()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _close_sandboxes(self) -> None:
        sandboxes, self._sandboxes = self._sandboxes, None
        if sandboxes is not None:
            self.run(sandboxes.close())


async def _contained(work: Coroutine[Any, Any, R]) -> R:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:  # they would end the loop, for everybody
        raise EnvError(f"an environment raised {type(error).__name__}") from error


_started: list[_Loop] = []  # none or one
_of_parents: list[_Loop] = []  # kept, since a loop that is collected unclosed complains
_starting = threading.Lock()


def _of_this_process() -> _Loop:
    with _starting:
        if not _started:
            os.register_at_fork(after_in_child=_forget)
            atexit.register(_stop)
            _started.append(_Loop())
        return _started[0]


def _forget() -> None:
    """A forked child has neither the thread nor whoever may have held the lock."""
    global _starting
    _starting = threading.Lock()
    _of_parents.extend(_started)
    _started.clear()


def _stop() -> None:
    while _started:
        _started.pop().stop()
