"""Engines and containers that are killed, stopped and removed under a running program."""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox import host
from agentgym.check.sandbox.judges import expect, expect_died, shown
from agentgym.check.sandbox.own_engine import IMAGE, OwnEngine
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target, namespace_of
from agentgym.errors import SandboxError
from agentgym.sandbox import Limits
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.owner import owner

_FOREVER = "import time; time.sleep(60)"
_BACK_S = 20.0
_API_VERSION = "1.41"
_LONG = Limits(wall_s=60.0)  # an engine that is told to end waits ten seconds for containers


def _settings(target: Target) -> DockerSandboxConfig:
    if not isinstance(target.settings, DockerSandboxConfig):
        raise NotChecked("this backend has no engine")
    return target.settings


def _tell(engine: Engine, what: str, name: str) -> None:
    """Do something to a container that its pool knows nothing of."""
    from docker import DockerClient

    # With a version of its own choice it would leave a connection open.
    with contextlib.closing(DockerClient(engine.url, version=_API_VERSION)) as client:
        options = {"force": True} if what == "remove" else {}
        getattr(client.containers.get(name), what)(**options)


async def _container(target: Target, end: str) -> str:
    """End a container of our own, by its engine, while a program runs in it."""
    settings = _settings(target)
    async with target.sandbox(survives=False) as sandbox:
        running = asyncio.ensure_future(sandbox.python(_FOREVER))
        await asyncio.sleep(0.2)
        with Engine(settings.base_url) as engine:
            began = time.monotonic()
            await asyncio.to_thread(_tell, engine, end, sandbox.id)
            await expect_died(running)
            took = time.monotonic() - began
    expect(took < 3.0, f"it was told after {took:.1f} s")
    async with target.sandbox() as another:
        expect(another.id != sandbox.id, "an ended sandbox is leased again")
    return f"SandboxDied after {took:.2f} s"


async def _killed(target: Target) -> str:
    return await _container(target, "kill")


async def _removed(target: Target) -> str:
    return await _container(target, "remove")


async def _paused(target: Target) -> str:
    settings = _settings(target)
    async with target.sandbox(survives=False) as sandbox:
        with Engine(settings.base_url) as engine:
            await asyncio.to_thread(_tell, engine, "pause", sandbox.id)
            result = await sandbox.python("print(1)", limits=Limits(wall_s=0.2))
            expect(result.timed_out and result.sandbox_lost, shown(result))
            await sandbox.close()
            left = await asyncio.to_thread(engine.inspect, sandbox.id)
            expect(left is None, "the container is still there")
    return "TIMEOUT at the host's own deadline, and it is removed"


async def _orphan(target: Target) -> str:
    """Make a container in the name of a process that never was, and do not start it."""
    settings = _settings(target)
    name = f"agentgym-check-{secrets.token_hex(8)}"
    with Engine(settings.base_url) as engine:
        orphan = {
            "Image": settings.image,
            "Cmd": ["true"],
            "NetworkDisabled": True,
            "Labels": {"agentgym.owner": f"{owner()}0"},
        }
        await asyncio.to_thread(engine.create, name, orphan)
        try:
            async with target.another(spares=0) as sandboxes, sandboxes.lease():
                left = await asyncio.to_thread(engine.inspect, name)
                expect(left is None, "it is there when others have started")
        finally:
            await asyncio.to_thread(engine.remove, name)
    return "removed by the next start"


async def _engine_ended(target: Target, number: signal.Signals, *options: str) -> str:
    """End an engine of our own under a running program, and start it again."""
    settings = _settings(target)
    async with _own_engine(*options) as own:
        ours = settings.model_copy(update={"base_url": own.url, "image": IMAGE, "spares": 1})
        async with ours.build() as sandboxes:
            async with sandboxes.lease() as sandbox:
                async with namespace_of(sandbox) as namespace:
                    processes = host.named(host.processes_in(namespace))
                running = asyncio.ensure_future(sandbox.python(_FOREVER, limits=_LONG))
                await asyncio.sleep(0.2)
                began = time.monotonic()
                await asyncio.to_thread(own.end, number)
                await expect_died(running)
                took = time.monotonic() - began
            await _expect_unavailable(sandboxes)
            await asyncio.to_thread(own.start)
            async with sandboxes.lease() as another:
                result = await another.python("print('again')")
                expect(result.stdout == b"again\n", shown(result))
                expect(another.id != sandbox.id, "a sandbox came back from the dead")
            await _expect_gone(own.url, sandbox.id, processes)
        with Engine(own.url) as engine:
            left = await asyncio.to_thread(partial(engine.list, owner=None))
            expect(not left, f"{len(left)} containers are left")
    return f"SandboxDied after {took:.1f} s, and the pool works again"


async def _sigkill(target: Target) -> str:
    return await _engine_ended(target, signal.SIGKILL)


async def _sigterm(target: Target) -> str:
    return await _engine_ended(target, signal.SIGTERM)


async def _live_restore(target: Target) -> str:
    return await _engine_ended(target, signal.SIGKILL, "--live-restore")


@contextlib.asynccontextmanager
async def _own_engine(*options: str) -> AsyncIterator[OwnEngine]:
    running = OwnEngine.running(*options)
    own = await asyncio.to_thread(running.__enter__)
    try:
        yield own
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def _expect_unavailable(sandboxes: Any) -> None:
    try:
        async with sandboxes.lease(fresh=True) as sandbox:
            await sandbox.python("pass")
    except SandboxError:
        return
    raise Failed("a sandbox was started without an engine")


async def _expect_gone(url: str, name: str, processes: set[str]) -> None:
    """Expect that a container and its processes are gone soon after the engine is back."""
    began = time.monotonic()
    with Engine(url) as engine:
        while await asyncio.to_thread(engine.inspect, name) or host.living(processes):
            expect(time.monotonic() - began < _BACK_S, f"{name} is left")
            await asyncio.sleep(0.1)


ROWS = (
    Row(name="docker_kill_mid_exec", must="SandboxDied, at once", run=_killed),
    Row(name="docker_rm_mid_exec", must="SandboxDied, at once", run=_removed),
    Row(name="docker_pause", must="TIMEOUT at our own deadline", run=_paused, cost="slow"),
    Row(name="orphan_container", must="removed by the next start", run=_orphan),
    Row(name="engine_sigkill", must="SandboxDied; later all is well", run=_sigkill, cost="slow"),
    Row(name="engine_sigterm", must="SandboxDied; later all is well", run=_sigterm, cost="slow"),
    Row(name="engine_live_restore", must="the same", run=_live_restore, cost="slow"),
)
