"""What a process has of this machine: processes and sandboxes, as the kernel and an engine tell."""

import asyncio
import os
import time
from collections.abc import Callable, Collection

from agentgym.check.sandbox import host
from agentgym.check.sandbox.judges import expect
from agentgym.check.sandbox.target import Target
from agentgym.sandboxes import inventory
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine

_GONE_S = 5.0


def held_by_us(target: Target) -> set[str]:
    """Name the processes below this one, and the sandboxes that it has."""
    sandboxes = {each.name for each in sandboxes_of(target) if each.owner == os.getpid()}
    return sandboxes | host.named(host.descendants(os.getpid()))


def sandboxes_of(target: Target) -> list[inventory.Held]:
    """Return what the kernel, or the engine, has of this backend, whoever made it."""
    if not isinstance(target.settings, DockerSandboxConfig):
        return inventory.local()
    with Engine(target.settings.base_url) as engine:
        return inventory.docker(engine)


async def gone(find: Callable[[], Collection[object]], what: str) -> float:
    """Wait until nothing is found any more, and return how long that took."""
    began = time.monotonic()
    while left := await asyncio.to_thread(find):
        took = time.monotonic() - began
        expect(took < _GONE_S, f"{what} are left after {took:.1f} s: {list(left)}")
        await asyncio.sleep(0.005)
    return time.monotonic() - began
