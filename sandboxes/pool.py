"""Many sandboxes of one backend: spares that never ran anything, and used ones, verified clean."""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Self

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Sandbox, SandboxInfo, Status
from agentgym.sandboxes.backend import Backend, PoolSettings
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.leased import LeasedSandbox
from agentgym.sandboxes.metrics import SandboxMetrics
from agentgym.sandboxes.once import Once
from agentgym.sandboxes.waiting import Waiter, Waiting

logger = logging.getLogger(__name__)

_LONG_S = 30.0  # since its last answer: then it is asked before it is handed out
_DYING_S = 10.0  # one that is not gone by then takes no room any more: its engine may be away

_CLOSED = "these sandboxes are closed"


class Pool:
    """The `Sandboxes` of one process; everything starts at the first lease.

    Whoever asks first is served first. A sandbox in any doubt is destroyed and never handed out.
    """

    def __init__(self, settings: PoolSettings, backend: Backend) -> None:
        cores = os.cpu_count() or 1
        self.metrics = SandboxMetrics()
        self._settings = settings
        self._backend = backend
        self._exec_slots = asyncio.Semaphore(settings.exec_slots or 2 * cores)
        self._start_slots = asyncio.Semaphore(2 * cores)
        self._living: set[WorkerSandbox] = set()
        self._dying: set[WorkerSandbox] = set()
        self._spares: deque[WorkerSandbox] = deque()
        self._idle: deque[WorkerSandbox] = deque()
        self._waiting = Waiting()
        self._tasks: set[asyncio.Task[None]] = set()
        self._num_starting = 0
        self._num_asked = 0  # leases, and those who wait for one
        self._closed = False
        self._end_once = Once(self._end)

    @property
    def info(self) -> SandboxInfo:
        """What its sandboxes are; the image is known once one was asked for."""
        return self._backend.info

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool = False) -> AsyncIterator[Sandbox]:
        """Hold a clean sandbox; it is reset, or destroyed, in the background afterwards."""
        self._num_asked += 1
        try:
            sandbox = await self._taken_in_time(fresh=fresh)
            sandbox.num_leases += 1
            try:
                yield LeasedSandbox(sandbox)
            finally:
                sandbox.holder = None
                self._give_back(sandbox, reuse=not fresh)
        finally:
            self._num_asked -= 1

    async def _taken_in_time(self, *, fresh: bool) -> WorkerSandbox:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.wait_s):
                sandbox = await self._take(fresh=fresh)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"no sandbox became free within sandbox.wait_s = {self._settings.wait_s:g}; "
                f"{len(self._living) - len(self._dying)} are in use or about to be, "
                f"{self._num_starting} are starting, {len(self._dying)} are being removed",
                hint="raise sandbox.max_size, or run fewer episodes at once",
            ) from error
        self.metrics.wait.add(time.monotonic() - began)
        return sandbox

    def room(self) -> int:
        """Return how many more may be leased at once."""
        return self._settings.max_size - self._num_asked

    async def probe(self) -> SandboxInfo:
        """Run a program in a fresh sandbox and say what protects it.

        Raises:
            SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
        """
        async with self.lease(fresh=True) as sandbox:
            result = await sandbox.python("print('ready')")
            if (result.status, result.stdout) != (Status.EXITED, b"ready\n"):
                said = result.stderr.decode("utf-8", "replace").strip() or "nothing"
                raise SandboxUnavailable(
                    f"the sandbox runs no program: one ended as {result.status} and said {said}",
                    hint="agentgym doctor",
                )
            return sandbox.info

    def scalars(self) -> dict[str, float]:
        """Return the metrics by name."""
        return {f"sandbox/{name}": value for name, value in self.metrics.scalars().items()}

    async def close(self) -> None:
        """End the backend, and with it every sandbox; a cancellation meanwhile waits for that."""
        self._closed = True
        await self._end_once()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _take(self, *, fresh: bool) -> WorkerSandbox:
        """Wait for one's turn, and for a sandbox that answers if it has been quiet for long.

        Whoever gets one that does not answer has the same place in the queue again.
        """
        place = self._waiting.take_place()
        while True:
            if self._closed:
                raise SandboxUnavailable(_CLOSED)
            waiter = self._waiting.add(place, fresh=fresh)
            self._serve()
            sandbox = await self._served(waiter)
            if await self._answers(sandbox):
                return sandbox

    async def _answers(self, sandbox: WorkerSandbox) -> bool:
        """Whether it does, if it was quiet for long; else, and in doubt, it is dropped."""
        if time.monotonic() - sandbox.last_call < _LONG_S:
            return True
        is_there = False
        try:
            is_there = await sandbox.answers()
        finally:
            if not is_there:
                self._drop(sandbox)
        return is_there

    async def _served(self, waiter: Waiter) -> WorkerSandbox:
        try:
            return await waiter.sandbox
        except asyncio.CancelledError:
            self._waiting.remove(waiter)
            if not waiter.sandbox.cancelled() and not waiter.sandbox.exception():
                self._give_back(waiter.sandbox.result(), reuse=True)
            raise

    def _serve(self) -> None:
        """Hand out what is there in the order of asking, and start what is missing."""
        while (waiter := self._waiting.first()) and (sandbox := self._pick(fresh=waiter.fresh)):
            self._waiting.hand_out(sandbox)
        wanted = len(self._waiting) + self._settings.spares - len(self._spares)
        while not self._closed and self._num_starting < wanted and self._make_room():
            self._num_starting += 1
            self._in_background(self._start())

    def _pick(self, *, fresh: bool) -> WorkerSandbox | None:
        """Return one that is there; those that are old or died meanwhile are dropped."""
        for there in (self._spares,) if fresh else (self._idle, self._spares):
            while there:
                sandbox = there.popleft()
                if self._is_young(sandbox) and sandbox.is_quiet():
                    return sandbox
                self._drop(sandbox)
        return None

    def _make_room(self) -> bool:
        """Whether one more may be started; for whoever waits, one that was used gives way."""
        if len(self._living) + self._num_starting < self._settings.max_size:
            return True
        if self._idle and len(self._waiting) > self._num_starting + len(self._dying):
            self._drop(self._idle.popleft())
        return False  # its end calls `_serve`

    async def _start(self) -> None:
        """Start a sandbox; whoever waits first gets it, or hears why there is none."""
        try:
            async with self._start_slots:
                began = time.monotonic()
                sandbox = await self._backend.start(exec_slots=self._exec_slots)
            self.metrics.start.add(time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  whatever it is, somebody waits for this
            failure: Exception | None = error
        else:
            failure = None
        finally:
            self._num_starting -= 1
        if failure:
            self._tell(failure)
        else:
            self._admit(sandbox)

    def _admit(self, sandbox: WorkerSandbox) -> None:
        """Take in one that was started, unless whoever it was for gave up."""
        sandbox.timing = self.metrics.exec
        self._living.add(sandbox)
        sandbox.gone.add_done_callback(lambda _: self._forget(sandbox))
        if self._waiting.first() is None and len(self._spares) >= self._settings.spares:
            sandbox.destroy()
        else:
            self._spares.append(sandbox)
            self._serve()

    def _tell(self, error: Exception) -> None:
        """Tell who waits first why there is no sandbox, and try again for the next."""
        if not isinstance(error, SandboxUnavailable):
            said = f"no sandbox can be started: {type(error).__name__}: {error}"
            cause, error = error, SandboxUnavailable(said, hint="agentgym doctor")
            error.__cause__ = cause
        if self._waiting.first() is None:
            logger.warning("no spare sandbox: %s", error)
            return
        self._waiting.refuse(error)
        if self._waiting.first():
            self._serve()

    def _forget(self, sandbox: WorkerSandbox) -> None:
        """Count it no more: nothing is left of it, or somebody else has to see to that."""
        self._living.discard(sandbox)
        self._dying.discard(sandbox)
        if not self._closed and self._waiting:
            self._serve()

    def _give_back(self, sandbox: WorkerSandbox, *, reuse: bool) -> None:
        if self._closed:
            sandbox.destroy()
        elif sandbox.num_calls == 0 and not sandbox.lost:
            self._spares.append(sandbox)
            self._serve()
        elif reuse and self._is_worth_keeping(sandbox):
            self._in_background(self._recycle(sandbox))
        else:
            self._drop(sandbox)

    def _is_worth_keeping(self, sandbox: WorkerSandbox) -> bool:
        is_fit = not sandbox.lost and sandbox.num_leases < self._settings.max_uses
        return is_fit and self._is_young(sandbox)

    def _is_young(self, sandbox: WorkerSandbox) -> bool:
        return time.monotonic() - sandbox.born < self._settings.max_age_s

    def _drop(self, sandbox: WorkerSandbox) -> None:
        """Have it destroyed; it takes room until it is gone, or for as long as that may take."""
        self.metrics.replaced += 1
        sandbox.destroy()
        if sandbox in self._living:
            self._dying.add(sandbox)
            asyncio.get_running_loop().call_later(_DYING_S, self._forget, sandbox)

    async def _recycle(self, sandbox: WorkerSandbox) -> None:
        began = time.monotonic()
        if await sandbox.reset():
            self.metrics.reset.add(time.monotonic() - began)
            self._idle.append(sandbox)
            self._serve()
        else:
            self._drop(sandbox)

    async def _end(self) -> None:
        self._waiting.refuse_all(_CLOSED)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sandbox in list(self._living):
            sandbox.destroy()
        await self._backend.close()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
