"""A process that plays episodes and is unlucky: `leaking_host.py SETTINGS NUMBER SEED`.

Programs, workers and containers are killed under it, calls are given up, and whoever started it
may kill it at any moment. It prints `uid N` for each sandbox, `done` for each episode, and at its
end `fds N`, how many descriptors more than at the start are open.
"""
# ruff: noqa: T201

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter

from agentgym.errors import SandboxError
from agentgym.sandbox import Limits, Sandbox
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.pool import Pool

AT_ONCE = 8
DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"


async def main(settings: str, number: int, seed: int) -> None:
    config = TypeAdapter(AnySandbox).validate_python(json.loads(settings))
    draw = random.Random(seed)
    left = iter(range(number))
    fds = len(os.listdir("/proc/self/fd"))
    async with config.build() as pool:

        async def play() -> None:
            for _ in left:
                patience = draw.uniform(0.01, 0.5) if draw.random() < 0.1 else 60
                with contextlib.suppress(SandboxError, ValueError, TimeoutError):
                    async with asyncio.timeout(patience):
                        await episode(pool, draw)
                print("done", flush=True)

        await asyncio.gather(*(play() for _ in range(AT_ONCE)))
    print("fds", len(os.listdir("/proc/self/fd")) - fds, flush=True)


async def episode(pool: Pool, draw: random.Random) -> None:
    async with pool.lease(fresh=draw.random() < 0.3) as sandbox:
        print(f"uid {sandbox.info.enforced['uid']}\n", end="", flush=True)  # in one piece
        for _ in range(draw.randint(1, 3)):
            await draw.choice((calls, calls, daemons, sessions, overlong, killed))(sandbox, draw)


async def calls(sandbox: Sandbox, draw: random.Random) -> None:
    await sandbox.python("print(1)")
    await sandbox.write_file("folder/file", bytes(draw.randint(0, 10_000)))


async def daemons(sandbox: Sandbox, draw: random.Random) -> None:
    await sandbox.python(DAEMON)
    await sandbox.exec(["sh", "-c", "sleep 60 & sleep 60 & exit 3"])


async def sessions(sandbox: Sandbox, draw: random.Random) -> None:
    session = await sandbox.session()
    await session.python(DAEMON)
    copies = await session.fork(draw.randint(1, 4))
    await copies[-1].python("import os; os.kill(-1, 9)")


async def overlong(sandbox: Sandbox, draw: random.Random) -> None:
    await sandbox.python(f"{DAEMON}\nwhile True: pass", limits=Limits(wall_s=0.05))


async def killed(sandbox: Sandbox, draw: random.Random) -> None:
    """Kill one of its processes, or its container, while a program runs."""
    running = asyncio.create_task(sandbox.python(f"{DAEMON}\nwhile True: pass"))
    await asyncio.sleep(draw.uniform(0, 0.03))
    if sandbox.info.backend == "docker" and draw.random() < 0.5:
        await asyncio.to_thread(_remove, sandbox.id)
    elif found := _processes(int(sandbox.info.enforced["uid"])):
        with contextlib.suppress(ProcessLookupError):
            os.kill(draw.choice(found), signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await running


def _remove(name: str) -> None:
    with Engine() as engine:
        engine.remove(name)


def _processes(uid: int) -> list[int]:
    assert uid != os.getuid(), "these may be anybody's"
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == uid:
                found.append(int(path.name))
    return found


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
