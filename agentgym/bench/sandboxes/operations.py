"""The operations of a sandbox, each as calls that can be timed."""

import time
from collections.abc import Awaitable, Callable

from agentgym.bench.sandboxes.measure import Call
from agentgym.sandbox import Sandbox, Sandboxes

PROGRAM = "import math; print(sum(i * i for i in range(100)), math.pi)"
"""What every backend runs: hardly anything, so that what is measured is the way there and back."""
COMMAND = ("/usr/bin/python3", "-c", PROGRAM)
PRINTED = f"{sum(i * i for i in range(100))} 3.141592653589793\n".encode()

_FILES = 20
_FILE_BYTES = 5000


def exec_(sandbox: Sandbox) -> Call:
    """A fresh interpreter, as the baselines start one."""

    async def call() -> None:
        _check((await sandbox.exec(COMMAND)).stdout)

    return call


def python(sandbox: Sandbox) -> Call:
    """A fork of the warm one."""

    async def call() -> None:
        _check((await sandbox.python(PROGRAM)).stdout)

    return call


async def fork(sandbox: Sandbox) -> Call:
    """A copy of a session that has numpy loaded, where the sandbox has numpy."""
    session = await sandbox.session()
    await session.python("import numpy")

    async def call() -> float:
        began = time.perf_counter()
        (copy,) = await session.fork()
        seconds = time.perf_counter() - began
        await copy.close()
        return seconds

    return call


async def session(sandbox: Sandbox) -> Call:
    """One more call of a session."""
    opened = await sandbox.session()

    async def call() -> None:
        _check((await opened.python(PROGRAM)).stdout)

    return call


async def snapshot(sandbox: Sandbox) -> Call:
    """100 KB in 20 files."""
    await _fill(sandbox)

    async def call() -> None:
        assert len(await sandbox.snapshot()) > _FILES * _FILE_BYTES

    return call


async def restore(sandbox: Sandbox) -> Call:
    """The same 100 KB."""
    await _fill(sandbox)
    archive = await sandbox.snapshot()

    async def call() -> None:
        await sandbox.restore(archive)

    return call


def reset(sandbox: Sandbox) -> Call:
    """Verified, with one file to wipe."""

    async def call() -> float:
        await sandbox.write_file("file", b"x")
        began = time.perf_counter()
        assert await sandbox.reset()
        return time.perf_counter() - began

    return call


def start(sandboxes: Sandboxes) -> Call:
    """From nothing to the first reply."""

    async def call() -> float:
        began = time.perf_counter()
        async with sandboxes.lease(fresh=True) as sandbox:
            _check((await sandbox.python(PROGRAM)).stdout)
            seconds = time.perf_counter() - began
            await sandbox.close()
        return seconds

    return call


def close(sandboxes: Sandboxes) -> Call:
    """Until nothing of it is left."""

    async def call() -> float:
        async with sandboxes.lease(fresh=True) as sandbox:
            began = time.perf_counter()
            await sandbox.close()
            return time.perf_counter() - began

    return call


def lease(sandboxes: Sandboxes) -> Call:
    """From a pool that has sandboxes ready to the first reply."""

    async def call() -> float:
        began = time.perf_counter()
        async with sandboxes.lease() as sandbox:
            _check((await sandbox.python(PROGRAM)).stdout)
            return time.perf_counter() - began

    return call


IN_A_SANDBOX: dict[str, Callable[[Sandbox], Call | Awaitable[Call]]] = {
    "exec": exec_,
    "python": python,
    "session": session,
    "fork": fork,
    "snapshot": snapshot,
    "restore": restore,
    "reset": reset,
}
OF_A_POOL: dict[str, Callable[[Sandboxes], Call]] = {"start": start, "close": close}


async def _fill(sandbox: Sandbox) -> None:
    for number in range(_FILES):
        await sandbox.write_file(f"folder/{number}", bytes(_FILE_BYTES))


def _check(printed: bytes) -> None:
    if printed != PRINTED:
        raise RuntimeError(f"a program printed {printed[:200]!r} instead of {PRINTED!r}")
