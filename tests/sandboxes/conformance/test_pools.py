"""What a pool promises of sandboxes that run."""

import asyncio

import pytest

from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandboxes import AnySandbox

pytestmark = pytest.mark.sandbox


async def test_all_end_though_whoever_closes_gives_up(backend: AnySandbox) -> None:
    pool = backend.build()
    async with pool.lease() as sandbox:
        await sandbox.python("pass")
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert not pool._living
        with pytest.raises(SandboxDied):
            await sandbox.python("pass")
        with pytest.raises(SandboxUnavailable, match="closed"):
            async with pool.lease():
                pass
        await pool.close()


async def test_a_sandbox_grows_old_also_when_nobody_uses_it(backend: AnySandbox) -> None:
    settings = backend.model_copy(update={"max_age_s": 0.5})
    async with settings.build() as pool:
        async with pool.lease() as first:
            pass
        async with pool.lease() as again:
            assert again.id == first.id
        await asyncio.sleep(0.5)
        async with pool.lease() as another:
            assert another.id != first.id
            assert (await another.python("print(1)")).stdout == b"1\n"


async def test_nothing_can_be_used_when_its_lease_has_ended(backend: AnySandbox) -> None:
    async with backend.model_copy(update={"max_size": 1}).build() as sandboxes:
        async with sandboxes.lease() as sandbox:
            session = await sandbox.session()
            running = asyncio.create_task(session.python("import time; time.sleep(0.3); 1 + 1"))
            late = [asyncio.create_task(sandbox.write_file("late", b"")) for _ in range(3)]
            async with asyncio.timeout(30):
                while not sandbox._box._turn.locked():  # type: ignore[attr-defined]
                    assert not running.done(), running
                    await asyncio.sleep(0)
        assert (await running).stdout == b"2\n"
        for task in late:
            with pytest.raises(SandboxDied, match="its lease has ended"):
                await task
        with pytest.raises(SandboxDied, match="its lease has ended"):
            await session.python("1")
        await session.close()
        await sandbox.close()
        async with sandboxes.lease() as another:
            assert another.id == sandbox.id
            with pytest.raises(SandboxDied, match="its lease has ended"):
                await sandbox.python("print(1)")
            with pytest.raises(FileNotFoundError):
                await another.read_file("late")
            assert not await sandbox.reset()
            assert (await another.python("print(2)")).stdout == b"2\n"
