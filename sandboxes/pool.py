"""Many sandboxes of one backend: spares that never ran anything, and used ones, verified clean."""

import asyncio
import contextlib
import logging
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol, Self

from pydantic import BaseModel, Field

from agentgym.errors import SandboxError, SandboxUnavailable
from agentgym.sandbox import Limits, Sandbox, SandboxInfo, Status
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.metrics import SandboxMetrics

logger = logging.getLogger(__name__)

_LONG_S = 30.0  # since its last answer: then it is asked before it is handed out


class PoolSettings(BaseModel, ABC, extra="forbid", frozen=True):
    """What sandboxes of every backend have in common."""

    name: str
    limits: Limits = Limits()
    """What a program may use unless a call says otherwise."""
    cpus: float = Field(default=1.0, gt=0)
    """Cores that one sandbox may keep busy, where control groups work."""
    spares: int = Field(default=4, ge=0)
    """Sandboxes kept ready that never ran anything."""
    max_uses: int = Field(default=50, ge=1)
    """Leases after which a sandbox is replaced even if it is clean."""
    exec_slots: int | None = Field(default=None, ge=1)
    """Programs that run at once; twice the cores by default."""
    max_size: int = Field(default=512, ge=1)
    """Sandboxes at once; whoever wants one more waits."""
    wait_s: float = Field(default=300.0, gt=0)
    """How long to wait for one."""
    max_age_s: float = Field(default=1800.0, gt=0)
    """Age after which a sandbox is replaced when it comes back."""

    @abstractmethod
    def build(self) -> "Pool":
        """Make the pool; it starts at the first lease and ends with `close`."""


class Backend(Protocol):
    """Starts sandboxes of one kind."""

    info: SandboxInfo

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        """Start one and wait until it is ready.

        Raises:
            SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
        """
        ...

    async def close(self) -> None:
        """End everything that was started here. Idempotent."""
        ...


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
        self._spares: deque[WorkerSandbox] = deque()
        self._idle: deque[WorkerSandbox] = deque()
        self._waiting: deque[_Waiter] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._num_starting = 0
        self._closed = False

    @property
    def info(self) -> SandboxInfo:
        """What its sandboxes are; the image is known once one was asked for."""
        return self._backend.info

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool = False) -> AsyncIterator[Sandbox]:
        """Hold a clean sandbox; it is reset, or destroyed, in the background afterwards."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.wait_s):
                sandbox = await self._take(fresh=fresh)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"no sandbox became free within sandbox.wait_s = {self._settings.wait_s:g}; "
                f"{len(self._living)} are in use or about to be",
                hint="raise sandbox.max_size, or run fewer episodes at once",
            ) from error
        self.metrics.wait.add(time.monotonic() - began)
        sandbox.num_leases += 1
        try:
            yield sandbox
        finally:
            self._give_back(sandbox, reuse=not fresh)

    async def probe(self) -> SandboxInfo:
        """Run a program in a fresh sandbox and say what protects it.

        Raises:
            SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
        """
        async with self.lease(fresh=True) as sandbox:
            result = await sandbox.python("print('ready')")
            if (result.status, result.stdout) != (Status.EXITED, b"ready\n"):
                raise SandboxUnavailable(f"the sandbox runs no program: {result}")
            return sandbox.info

    def scalars(self) -> dict[str, float]:
        """Return the metrics by name."""
        return {f"sandbox/{name}": value for name, value in self.metrics.scalars().items()}

    async def close(self) -> None:
        """End the backend, and with it every sandbox."""
        self._closed = True
        for waiter in self._waiting:
            waiter.fail(SandboxUnavailable("these sandboxes are closed"))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sandbox in list(self._living):
            sandbox.destroy()
        await self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _take(self, *, fresh: bool) -> WorkerSandbox:
        """Wait for one's turn, and for a sandbox that answers if it has been quiet for long."""
        while True:
            if self._closed:
                raise SandboxUnavailable("these sandboxes are closed")
            waiter = _Waiter(fresh=fresh)
            self._waiting.append(waiter)
            self._serve()
            sandbox = await self._served(waiter)
            if time.monotonic() - sandbox.last_call < _LONG_S or await sandbox.answers():
                return sandbox
            self.metrics.replaced += 1

    async def _served(self, waiter: "_Waiter") -> WorkerSandbox:
        try:
            return await waiter.sandbox
        except asyncio.CancelledError:
            if not waiter.sandbox.cancelled() and not waiter.sandbox.exception():
                self._give_back(waiter.sandbox.result(), reuse=True)
            raise

    def _first(self) -> "_Waiter | None":
        """Return who has waited longest and still does."""
        while self._waiting and self._waiting[0].sandbox.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _serve(self) -> None:
        """Hand out what is there in the order of asking, and start what is missing."""
        while (waiter := self._first()) and (sandbox := self._pick(fresh=waiter.fresh)):
            self._waiting.popleft().sandbox.set_result(sandbox)
        wanted = len(self._waiting) + self._settings.spares - len(self._spares)
        while not self._closed and self._num_starting < wanted and self._make_room():
            self._num_starting += 1
            self._in_background(self._start())

    def _pick(self, *, fresh: bool) -> WorkerSandbox | None:
        for there in (self._spares,) if fresh else (self._idle, self._spares):
            while there:
                sandbox = there.popleft()
                if sandbox.is_quiet():
                    return sandbox
        return None

    def _make_room(self) -> bool:
        """Whether one more may be started; for whoever waits, one that was used gives way."""
        if len(self._living) + self._num_starting < self._settings.max_size:
            return True
        if self._waiting and self._idle:
            self._replace(self._idle.popleft())
        return False  # its end calls `_serve`

    async def _start(self) -> None:
        """Start a sandbox; whoever waits first gets it, or hears why there is none."""
        try:
            async with self._start_slots:
                began = time.monotonic()
                sandbox = await self._backend.start(exec_slots=self._exec_slots)
            self.metrics.start.add(time.monotonic() - began)
        except SandboxError as error:
            if waiter := self._first():
                waiter.fail(error)
            else:
                logger.warning("no spare sandbox: %s", error)
            return
        finally:
            self._num_starting -= 1
        sandbox.timing = self.metrics.exec
        self._living.add(sandbox)
        sandbox.gone.add_done_callback(lambda _: self._forget(sandbox))
        if self._first() is None and len(self._spares) >= self._settings.spares:
            sandbox.destroy()  # whoever it was for gave up
        else:
            self._spares.append(sandbox)
            self._serve()

    def _forget(self, sandbox: WorkerSandbox) -> None:
        self._living.discard(sandbox)
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
            self._replace(sandbox)

    def _is_worth_keeping(self, sandbox: WorkerSandbox) -> bool:
        is_young = time.monotonic() - sandbox.born < self._settings.max_age_s
        return not sandbox.lost and is_young and sandbox.num_leases < self._settings.max_uses

    def _replace(self, sandbox: WorkerSandbox) -> None:
        self.metrics.replaced += 1
        sandbox.destroy()

    async def _recycle(self, sandbox: WorkerSandbox) -> None:
        began = time.monotonic()
        if await sandbox.reset():
            self.metrics.reset.add(time.monotonic() - began)
            self._idle.append(sandbox)
            self._serve()
        else:
            self._replace(sandbox)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Waiter:
    """Somebody who waits for a sandbox."""

    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh
        self.sandbox: asyncio.Future[WorkerSandbox] = asyncio.get_running_loop().create_future()

    def fail(self, error: SandboxError) -> None:
        """End it with the reason why there is none."""
        if not self.sandbox.done():
            self.sandbox.set_exception(error)
