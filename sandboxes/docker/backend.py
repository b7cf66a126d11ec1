"""Starts sandboxes in the containers of one engine."""

import asyncio
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentgym.errors import SandboxDied, SandboxProtocolError, SandboxUnavailable
from agentgym.sandbox import SandboxInfo
from agentgym.sandboxes import bundle, cgroups
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.channel import Channel, converse
from agentgym.sandboxes.docker.blueprint import Blueprint, draw_up
from agentgym.sandboxes.docker.container import Container
from agentgym.sandboxes.docker.fleet import Fleet
from agentgym.sandboxes.docker.reaper import reap
from agentgym.sandboxes.machine import Machine, with_uid
from agentgym.sandboxes.once import Once
from agentgym.sandboxes.shortage import not_started

if TYPE_CHECKING:
    from agentgym.sandboxes.docker import DockerSandboxConfig

_COMPILE_S = 30.0

_compiled: dict[tuple[str | None, str], bytes] = {}
"""(image, interpreter) -> the worker, compiled by it: the same for every pool of this process."""


@dataclass(frozen=True, slots=True)
class _Opened:
    fleet: Fleet
    blueprint: Blueprint
    code: bytes


class DockerBackend:
    """Hardened containers with our worker as PID 1, reached over their attached stdin and stdout."""

    def __init__(self, config: "DockerSandboxConfig") -> None:
        self._config = config
        self.info = SandboxInfo(backend="docker", protected="dumpable")
        self._opening: asyncio.Task[_Opened] | None = None
        self._closed = False
        self._end_once = Once(self._end)

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        """Start one and wait until it is ready."""
        try:
            return await self._start(exec_slots)
        except (OSError, RuntimeError) as error:  # no descriptor, or no thread
            raise not_started(error) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise SandboxUnavailable(
                f"the Docker engine answered as none does: {error!r}", hint="docker version"
            ) from error

    async def _start(self, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        opened = await self._open()
        container = opened.fleet.add()
        try:
            channel = await container.launch(opened.blueprint.container(container.uid, opened.code))
        except BaseException:
            container.kill()
            raise
        sandbox = WorkerSandbox(
            _machine(container, channel, opened.blueprint),
            limits=self._config.limits,
            cpus=self._config.cpus,
            exec_slots=exec_slots,
        )
        try:
            await channel.send(opened.code)
            await sandbox.become_ready()
        except (SandboxDied, SandboxProtocolError, OSError) as error:
            sandbox.destroy()
            said = channel.complaint or str(error).encode()
            raise opened.blueprint.explain(said) from error
        except BaseException:
            sandbox.destroy()
            raise
        return sandbox

    async def close(self) -> None:
        """Remove every container that was made here; a cancellation meanwhile waits for that."""
        self._closed = True
        await self._end_once()

    async def _end(self) -> None:
        if self._opening is None:
            return
        await asyncio.wait([self._opening])
        if not self._opening.cancelled() and not self._opening.exception():
            await self._opening.result().fleet.close()

    async def _open(self) -> _Opened:
        """Return what all of them need; found out once, even if who asked first is cancelled."""
        if self._closed:
            raise SandboxUnavailable("these sandboxes are closed")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._prepare())
            self._opening.add_done_callback(self._forget_failure)
        return await asyncio.shield(self._opening)

    def _forget_failure(self, opening: asyncio.Task[_Opened]) -> None:
        """Try again at the next start: an engine may be there by then."""
        if (opening.cancelled() or opening.exception()) and not self._closed:
            self._opening = None

    async def _prepare(self) -> _Opened:
        run = f"agentgym-{os.getpid()}-{secrets.token_hex(4)}"
        fleet = Fleet(run)
        try:
            engine = await fleet.connect(self._config.base_url)
            await fleet.ask(reap, engine)
            blueprint = await fleet.ask(draw_up, engine, self._config, run)
            fleet.take_uids(few=blueprint.has_few_uids)
            code = await _compile(fleet, blueprint)
        except BaseException:
            await fleet.close()
            raise
        self.info = blueprint.info
        return _Opened(fleet, blueprint, code)


async def _compile(fleet: Fleet, blueprint: Blueprint) -> bytes:
    """Return the worker for the interpreter of the image, compiled by it."""
    key = blueprint.info.image, blueprint.python
    if key not in _compiled:
        container = fleet.add()
        try:
            channel = await container.launch(blueprint.compiler(container.uid))
            async with asyncio.timeout(_COMPILE_S):
                output = await converse(channel, bundle.sources(), max_bytes=bundle.MOST_COMPILED)
        except TimeoutError as error:
            raise SandboxUnavailable(f"no container answered within {_COMPILE_S:g} s") from error
        finally:
            container.kill()
        _compiled[key] = blueprint.compiled(output, channel.complaint)
    return _compiled[key]


def _machine(container: Container, channel: Channel, blueprint: Blueprint) -> Machine:
    group = cgroups.of_process(container.pid, container.id) if container.pid else None
    info = with_uid(blueprint.info, container.uid)
    if group and group.is_ours:
        held = dict.fromkeys(("memory", "pids", "cpu"), f"cgroup{group.version}")
        info = replace(info, enforced={**info.enforced, **held})
    return Machine(
        name=container.name,
        info=info,
        channel=channel,
        group=group,
        held=blueprint.held,
        environment=blueprint.environment,
        gone=container.gone,
        kill=container.kill,
    )
