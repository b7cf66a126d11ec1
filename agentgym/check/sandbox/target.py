"""What the rows are tried on: the sandboxes of one backend."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self

from agentgym.check.report import Failed
from agentgym.check.sandbox import host
from agentgym.sandbox import Limits, Sandbox
from agentgym.sandboxes.pool import Pool, PoolSettings

_AFTERWARDS_S = 10.0


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

        With `survives` the sandbox must answer as before, and be clean after a reset.

        Raises:
            Failed: it is not so.
        """
        before = host.look()
        async with self.sandboxes.lease() as sandbox:
            yield sandbox
            if survives:
                await _expect_alive(sandbox)
        if changed := host.differences(before, host.look()):
            raise Failed("; ".join(changed))

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


async def _expect_alive(sandbox: Sandbox) -> None:
    limits = Limits(wall_s=_AFTERWARDS_S)
    result = await sandbox.python("print('still here')", limits=limits)
    if result.stdout != b"still here\n":
        raise Failed(f"afterwards the sandbox answers {result}")
    if not await sandbox.reset():
        raise Failed("afterwards the sandbox is not clean")
