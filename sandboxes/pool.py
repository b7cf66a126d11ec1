"""Many sandboxes of one backend: spares that never ran anything, and used ones, verified clean."""

import asyncio
import contextlib
import logging
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol, Self

from pydantic import BaseModel, Field

from agentgym.errors import SandboxError, SandboxUnavailable
from agentgym.sandbox import Limits, Sandbox, SandboxInfo, Status
from agentgym.sandboxes.box import WorkerSandbox

logger = logging.getLogger(__name__)


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
    """The `Sandboxes` of one process; everything starts at the first lease."""

    def __init__(self, settings: PoolSettings, backend: Backend) -> None:
        cores = os.cpu_count() or 1
        self.info = backend.info
        self._settings = settings
        self._backend = backend
        self._exec_slots = asyncio.Semaphore(settings.exec_slots or 2 * cores)
        self._start_slots = asyncio.Semaphore(2 * cores)
        self._living: set[WorkerSandbox] = set()
        self._spares: deque[WorkerSandbox] = deque()
        self._idle: deque[WorkerSandbox] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._num_starting = 0
        self._closed = False

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool = False) -> AsyncIterator[Sandbox]:
        """Hold a clean sandbox; it is reset, or destroyed, in the background afterwards."""
        sandbox = self._pick(fresh=fresh) or await self._start()
        self._refill()
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
            result = await sandbox.python("print(open('/proc/self/status').read())")
            if result.status is not Status.EXITED or b"\nSeccomp:\t2\n" not in result.stdout:
                raise SandboxUnavailable(f"the sandbox runs no program: {result}")
            return sandbox.info

    async def close(self) -> None:
        """End the backend, and with it every sandbox."""
        self._closed = True
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

    def _pick(self, *, fresh: bool) -> WorkerSandbox | None:
        for waiting in (self._spares,) if fresh else (self._idle, self._spares):
            while waiting:
                sandbox = waiting.popleft()
                if sandbox.is_quiet():
                    return sandbox
        return None

    async def _start(self) -> WorkerSandbox:
        if self._closed:
            raise SandboxUnavailable("these sandboxes are closed")
        async with self._start_slots:
            sandbox = await self._backend.start(exec_slots=self._exec_slots)
        self._living.add(sandbox)
        sandbox.gone.add_done_callback(lambda _: self._living.discard(sandbox))
        return sandbox

    def _give_back(self, sandbox: WorkerSandbox, *, reuse: bool) -> None:
        if sandbox.lost or self._closed:
            sandbox.destroy()
        elif sandbox.num_calls == 0:
            self._spares.append(sandbox)
        elif reuse and sandbox.num_leases < self._settings.max_uses:
            self._in_background(self._recycle(sandbox))
        else:
            sandbox.destroy()

    async def _recycle(self, sandbox: WorkerSandbox) -> None:
        if await sandbox.reset():
            self._idle.append(sandbox)

    def _refill(self) -> None:
        while len(self._spares) + self._num_starting < self._settings.spares and not self._closed:
            self._num_starting += 1
            self._in_background(self._add_spare())

    async def _add_spare(self) -> None:
        try:
            self._spares.append(await self._start())
        except SandboxError as error:  # whoever needs one will be told
            logger.warning("no spare sandbox: %s", error)
        finally:
            self._num_starting -= 1

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
