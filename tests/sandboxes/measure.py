"""Print what a local sandbox costs on this machine: `python tests/sandboxes/measure.py`."""
# ruff: noqa: T201

import asyncio
import time
from collections.abc import Awaitable, Callable

from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.pool import Pool

PROGRAM = "import math; print(sum(i * i for i in range(100)), math.pi)"


async def main() -> None:
    config = LocalSandboxConfig()
    async with config.model_copy(update={"spares": 0}).build() as sandboxes:
        async with sandboxes.lease() as box:
            await box.python(PROGRAM)
            await show("`python()`", lambda: box.python(PROGRAM))
            await show("`exec` of /usr/bin/true", lambda: box.exec(["true"]))
            await show("`exec` of python3", lambda: box.exec(["python3", "-c", PROGRAM]))
            await show("`write_file`, 1 KB", lambda: box.write_file("x", bytes(1000)))
            await show("`read_file`, 1 KB", lambda: box.read_file("x"))
            await show("`reset`, one file", lambda: dirty(box.write_file, box.reset))
        await show("start, one `python()`, end", lambda: episode(sandboxes), times=50)
        await rate("warm `python()`, 8 at once", lambda: warm(sandboxes), times=800)
    async with config.build() as sandboxes:
        await rate(
            "fresh lease with one `python()`, 8 at once", lambda: episode(sandboxes), times=400
        )


async def dirty(
    write: Callable[[str, bytes], Awaitable[None]], reset: Callable[[], Awaitable[bool]]
) -> None:
    await write("x", b"x")
    assert await reset()


async def episode(sandboxes: Pool) -> None:
    async with sandboxes.lease(fresh=True) as box:
        assert (await box.python(PROGRAM)).exit_code == 0


async def warm(sandboxes: Pool) -> None:
    async with sandboxes.lease() as box:
        assert (await box.python(PROGRAM)).exit_code == 0


async def show(what: str, call: Callable[[], Awaitable[object]], *, times: int = 200) -> None:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    seconds.sort()
    middle, late = seconds[times // 2], seconds[times * 95 // 100]
    print(f"| {what} | {middle * 1e3:.1f} ms | {late * 1e3:.1f} ms |")


async def rate(what: str, call: Callable[[], Awaitable[object]], *, times: int) -> None:
    turns = iter(range(times))

    async def work() -> None:
        for _ in turns:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(8)))
    print(f"| {what} | {times / (time.perf_counter() - began):.0f} per second | |")


if __name__ == "__main__":
    asyncio.run(main())
