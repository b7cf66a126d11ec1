"""Many local sandboxes: spares that never ran anything, and used ones whose reset was verified."""

import asyncio
import contextlib
import logging
import os
import platform
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agentgym.errors import SandboxError, SandboxUnavailable
from agentgym.sandbox import Sandbox, SandboxInfo
from agentgym.sandboxes import bubblewrap, cgroups, seccomp, worker
from agentgym.sandboxes.box import Blueprint, LocalSandbox
from agentgym.sandboxes.launcher import INFO_FD, SECCOMP_FD, Launcher

if TYPE_CHECKING:
    from agentgym.sandboxes.local import LocalSandboxConfig

logger = logging.getLogger(__name__)

_BOOT = "import sys,marshal;exec(marshal.loads(sys.stdin.buffer.read({size})))"
_COMPILE = (
    "import sys,marshal;"
    "code=compile(sys.stdin.buffer.read(),'worker','exec');"
    "sys.stdout.buffer.write(marshal.dumps(code))"
)


class LocalSandboxes:
    """The `Sandboxes` of one process; everything starts at the first lease."""

    def __init__(self, config: "LocalSandboxConfig") -> None:
        cores = os.cpu_count() or 1
        self._config = config
        self._cgroups = cgroups.detect()
        self.info = _info(self._cgroups)
        self._exec_slots = asyncio.Semaphore(config.exec_slots or 2 * cores)
        self._start_slots = asyncio.Semaphore(2 * cores)
        self._opening = asyncio.Lock()
        self._launcher: Launcher | None = None
        self._blueprint: Blueprint | None = None
        self._living: set[LocalSandbox] = set()
        self._spares: deque[LocalSandbox] = deque()
        self._idle: deque[LocalSandbox] = deque()
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

    async def close(self) -> None:
        """End the spawner, and with it every sandbox."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sandbox in list(self._living):
            sandbox.destroy()
        async with self._opening:
            if self._launcher:
                await self._launcher.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _pick(self, *, fresh: bool) -> LocalSandbox | None:
        for waiting in (self._spares,) if fresh else (self._idle, self._spares):
            while waiting:
                sandbox = waiting.popleft()
                if sandbox.is_quiet():
                    return sandbox
        return None

    async def _start(self) -> LocalSandbox:
        launcher, blueprint = await self._open()
        async with self._start_slots:
            sandbox = await LocalSandbox.start(launcher, blueprint, exec_slots=self._exec_slots)
        self._living.add(sandbox)
        sandbox.gone.add_done_callback(lambda _: self._living.discard(sandbox))
        return sandbox

    async def _open(self) -> tuple[Launcher, Blueprint]:
        """Return the living spawner, starting one if there is none."""
        async with self._opening:
            if self._closed:
                raise SandboxUnavailable("these sandboxes are closed")
            if self._blueprint is None:
                self._blueprint = await asyncio.to_thread(self._draw_up)
            if self._launcher and not self._launcher.alive:
                await self._launcher.close()
                self._launcher = None
            if self._launcher is None:
                self._launcher = Launcher(self._cgroups)
            return self._launcher, self._blueprint

    def _draw_up(self) -> Blueprint:
        """Find the programs and compile the worker with the interpreter that will run it."""
        if self._config.require_cgroups and self._cgroups is None:
            raise SandboxUnavailable(
                "no control groups can be made here", hint="run as root, or in a delegated scope"
            )
        code = _compile(self._config.python)
        boot = _BOOT.format(size=len(code))
        argv = bubblewrap.command(
            bubblewrap.find(),
            # -I would ignore the hash seed as well.
            [self._config.python, "-s", "-S", "-B", "-c", boot],
            seccomp_fd=SECCOMP_FD,
            info_fd=INFO_FD,
        )
        program = seccomp.build_filter(platform.machine(), allow_memfd=self._cgroups is not None)
        return Blueprint(argv, code, program, self._config.limits, self._config.cpus, self.info)

    def _give_back(self, sandbox: LocalSandbox, *, reuse: bool) -> None:
        if sandbox.lost or self._closed:
            sandbox.destroy()
        elif sandbox.num_calls == 0:
            self._spares.append(sandbox)
        elif reuse and sandbox.num_leases < self._config.max_uses:
            self._in_background(self._recycle(sandbox))
        else:
            sandbox.destroy()

    async def _recycle(self, sandbox: LocalSandbox) -> None:
        if await sandbox.reset():
            self._idle.append(sandbox)

    def _refill(self) -> None:
        while len(self._spares) + self._num_starting < self._config.spares and not self._closed:
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


def _info(groups: cgroups.Cgroups | None) -> SandboxInfo:
    how = groups.name if groups else "rlimit"
    if groups is None:
        logger.warning("no control groups here: memory is limited per process, not per sandbox")
    uid = "200000 and up" if os.getuid() == 0 else str(os.getuid())
    enforced = dict.fromkeys(("memory", "pids", "cpu"), how) | {"seccomp": "filter", "uid": uid}
    return SandboxInfo(backend="local", enforced=enforced, protected="dumpable")


def _compile(python: str) -> bytes:
    source = Path(worker.__file__).read_bytes()
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", _COMPILE], input=source, env={}, capture_output=True
        )
    except OSError as error:
        raise SandboxUnavailable(
            f"no Python for the sandbox: {python}: {error.strerror}",
            hint="apt-get install python3",
        ) from error
    if done.returncode:
        raise SandboxUnavailable(f"{python} cannot compile the worker: {done.stderr.decode()}")
    return done.stdout
