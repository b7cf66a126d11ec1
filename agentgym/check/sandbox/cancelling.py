"""Calls that are cancelled at any moment: nothing may be left of them, nothing be out of step."""

import asyncio
import contextlib
import os
import random

from agentgym.check.report import Failed
from agentgym.check.sandbox.held import gone, held_by_us
from agentgym.check.sandbox.judges import expect, shown
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target
from agentgym.errors import SandboxError
from agentgym.sandboxes.pool import Pool

_ROOM = 6
_LEASES_S = 30.0
_FULL_S = 0.5


async def _cancelled(target: Target, times: int) -> str:
    """Cancel calls at moments of chance; no call after it may see another's answer."""
    before = await asyncio.to_thread(held_by_us, target)
    num_descriptors = _num_descriptors()
    async with target.another(spares=2, max_size=_ROOM) as sandboxes:
        await _cancel(sandboxes, times)
        async with sandboxes.lease() as sandbox:
            for n in range(5):
                result = await sandbox.python(f"print({n})")
                expect(result.stdout == b"%d\n" % n, f"out of step: {shown(result)}")
        await expect_room(sandboxes)
    await gone(lambda: held_by_us(target) - before, "processes and sandboxes")
    # The other sandboxes of this check may have connected to their engine once more.
    most = 0 if target.backend == "local" else 2 * (os.cpu_count() or 1)
    left = _num_descriptors() - num_descriptors
    expect(left <= most, f"{left} descriptors are left")
    return f"{times} cancelled, nothing left, and there is room for {_ROOM} as before"


async def _cancel(sandboxes: Pool, times: int) -> None:
    moments = random.Random(times)
    for n in range(times):
        async with contextlib.AsyncExitStack() as stack:
            if n % 5 == 0:  # else the start is what is cancelled most
                held = await stack.enter_async_context(sandboxes.lease())
            with contextlib.suppress(TimeoutError, SandboxError):
                async with asyncio.timeout(moments.uniform(0, 0.03)):
                    if n % 5:
                        held = await stack.enter_async_context(sandboxes.lease(fresh=True))
                    while True:
                        await held.python("import os; os.fork(); print('x' * 9999)")


async def expect_room(sandboxes: Pool) -> None:
    """Expect that `_ROOM` sandboxes may be held at once, and not one more."""
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(_LEASES_S):
            held = [await stack.enter_async_context(sandboxes.lease()) for _ in range(_ROOM)]
        for sandbox in held:
            result = await sandbox.python("print(1)")
            expect(result.stdout == b"1\n", f"out of step: {shown(result)}")
        expect(len({sandbox.id for sandbox in held}) == _ROOM, "one sandbox was leased twice")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FULL_S), sandboxes.lease():
                raise Failed(f"more than {_ROOM} sandboxes were leased at once")


def _num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _descriptors(target: Target) -> str:
    async with target.sandbox() as sandbox:
        await sandbox.python("pass")
        before = _num_descriptors()
        for _ in range(50):
            await sandbox.python("print(1)")
            await sandbox.write_file("x", b"x")
        left = _num_descriptors() - before
        expect(left == 0, f"{left} descriptors more after 100 calls")
        return "100 calls leave no descriptor"


async def _cancel_few(target: Target) -> str:
    return await _cancelled(target, 100)


async def _cancel_many(target: Target) -> str:
    return await _cancelled(target, 1000)


ROWS = (
    Row(name="cancel_mid_exec", must="100 times, nothing left", run=_cancel_few, cost="slow"),
    Row(
        name="cancel_mid_exec_1000", must="1,000 times, nothing left", run=_cancel_many, cost="soak"
    ),
    Row(name="descriptor_leak", must="calls leave no descriptor of the host's", run=_descriptors),
)
