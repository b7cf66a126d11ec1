"""What the rows are tried on: the sandboxes of one backend."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from typing import Self

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox import host
from agentgym.check.sandbox.judges import alone, expect
from agentgym.sandbox import Limits, Sandbox
from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.pool import Pool

_AFTERWARDS_S = 10.0
_SEEN_S = (0.1, 1.0, 3.0)
_ALIVE = """
import os
print("still here", os.getpid(), *(name for name in os.listdir("/proc") if name.isdigit()))
"""


class Target:
    """The sandboxes of one backend, and a process of this machine that must outlive every row."""

    def __init__(self, settings: PoolSettings, sandboxes: Pool, bystander: int) -> None:
        self.settings = settings
        self.sandboxes = sandboxes
        self.backend = sandboxes.info.backend
        self.bystander = bystander
        """The process id of somebody who has nothing to do with it."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: PoolSettings) -> AsyncIterator[Self]:
        """Make the sandboxes, and end them.

        Raises:
            SandboxUnavailable: there can be none; with the reason, and the command that mends it.
        """
        settings = settings.model_copy(update={"spares": 0})
        async with _bystander() as pid, settings.build() as sandboxes:
            await sandboxes.probe()
            yield cls(settings, sandboxes, pid)

    @contextlib.asynccontextmanager
    async def sandbox(self, *, survives: bool = True) -> AsyncIterator[Sandbox]:
        """Hold a clean sandbox; afterwards nothing of the host may have changed.

        With `survives` the sandbox must answer as before, hold no process of whatever ran in it,
        and be clean after a reset.

        Raises:
            Failed: it is not so.
        """
        before = host.look()
        async with self.sandboxes.lease() as sandbox:
            yield sandbox
            if survives:
                await expect_alive(sandbox)
        if changed := host.differences(before, host.look()):
            raise Failed("; ".join(changed))
        expect(host.lives(self.bystander), "a process of the host died")

    @property
    def words(self) -> str:
        """The settings as JSON, for another process."""
        return self.settings.model_dump_json()

    def another(self, **settings: object) -> Pool:
        """Make more sandboxes like these, with settings of their own."""
        return self.settings.model_copy(update=settings).build()


@contextlib.asynccontextmanager
async def _bystander() -> AsyncIterator[int]:
    """Run a process that ends with this one."""
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    try:
        yield process.pid
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def expect_alive(sandbox: Sandbox) -> None:
    """Expect that a sandbox answers, holds nobody else, and is clean after a reset.

    The reset comes last, for it would end all that is left.
    """
    alone(await sandbox.python(_ALIVE, limits=Limits(wall_s=_AFTERWARDS_S)))
    if not await sandbox.reset():
        raise Failed("afterwards the sandbox is not clean")


@contextlib.asynccontextmanager
async def namespace_of(sandbox: Sandbox) -> AsyncIterator[str]:
    """Name the pid namespace that a sandbox has for itself; no other has this name meanwhile.

    It is that of a process with a secret of ours on its command line. The number of its user
    would not do: without root it is our own, and that of a container may be somebody's here.

    Raises:
        NotChecked: its processes are not seen from here.
        Failed: they are in the namespace of this process.
    """
    fd = await _open_namespace(sandbox)
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")
        expect(name != host.own_namespace(), "its processes are among those of the host")
        yield name
    finally:
        os.close(fd)


async def _open_namespace(sandbox: Sandbox) -> int:
    mark = secrets.token_hex(16)
    for seconds in _SEEN_S:
        running = asyncio.ensure_future(sandbox.exec(["sh", "-c", f"sleep {seconds}; :", mark]))
        fd = None
        while fd is None and not running.done():
            await asyncio.sleep(0.01)
            fd = host.open_namespace(mark)
        await running
        if fd is not None:
            return fd
    raise NotChecked("its processes are not those of this machine")
