"""Starts local sandboxes: what they have in common, and one spawner for all of them."""

import asyncio
import contextlib
import itertools
import logging
import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentgym.errors import SandboxDied, SandboxProtocolError, SandboxUnavailable
from agentgym.sandbox import SandboxInfo
from agentgym.sandboxes import bundle, cgroups, images
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.channel import SocketChannel, converse
from agentgym.sandboxes.local import bubblewrap
from agentgym.sandboxes.local.launcher import INFO_FD, SECCOMP_FD, Launched, Launcher
from agentgym.sandboxes.machine import ENVIRONMENT, Machine, with_uid
from agentgym.sandboxes.seccomp import bpf
from agentgym.sandboxes.shortage import not_started

if TYPE_CHECKING:
    from agentgym.sandboxes.local import LocalSandboxConfig

logger = logging.getLogger(__name__)

_CLOSE_S = 5.0
_COMPILE_S = 30.0

_ids = itertools.count()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every process of this backend is started with."""

    bwrap: str
    root: Path
    seccomp: bytes

    def command(self, *program: str) -> list[str]:
        """Return the command that runs a program in a new sandbox."""
        return bubblewrap.command(
            self.bwrap, list(program), root=self.root, seccomp_fd=SECCOMP_FD, info_fd=INFO_FD
        )


@dataclass(frozen=True, slots=True)
class _Blueprint:
    argv: list[str]
    bundle: bytes
    seccomp: bytes


class LocalBackend:
    """Bubblewrap, a seccomp filter and control groups where they work."""

    def __init__(self, config: "LocalSandboxConfig") -> None:
        self._config = config
        self._cgroups: cgroups.Cgroups | None = None
        self.info = SandboxInfo(backend="local", protected="dumpable")
        """Its limits and image are known once one was asked for."""
        self._opening = asyncio.Lock()
        self._launcher: Launcher | None = None
        self._plan: _Plan | None = None
        self._blueprint: _Blueprint | None = None
        self._closed = False

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        """Start one and wait until it is ready."""
        try:
            launcher, blueprint = await self._open()
            launched = launcher.launch(
                blueprint.argv, stdin=blueprint.bundle, seccomp=blueprint.seccomp
            )
        except OSError as error:
            raise not_started(error) from error
        sandbox = WorkerSandbox(
            self._machine(launched),
            limits=self._config.limits,
            cpus=self._config.cpus,
            exec_slots=exec_slots,
        )
        try:
            await sandbox.become_ready()
        except (SandboxDied, SandboxProtocolError, OSError) as error:
            sandbox.destroy()
            await asyncio.wait([launched.gone], timeout=_CLOSE_S)
            raise bubblewrap.explain(_complaint(launched, error)) from error
        except BaseException:
            sandbox.destroy()
            raise
        finally:
            os.close(launched.stderr)
        return sandbox

    async def close(self) -> None:
        """End the spawner, and with it every sandbox."""
        self._closed = True
        async with self._opening:
            if self._launcher:
                await self._launcher.close()

    def _machine(self, launched: Launched) -> Machine:
        uid = launched.slot.uid
        return Machine(
            name=f"local-{os.getpid()}-{next(_ids)}",
            info=with_uid(self.info, os.getuid() if uid is None else uid),
            channel=SocketChannel(launched.channel),
            group=launched.slot.group,
            gone=launched.gone,
            kill=launched.kill,
        )

    async def _open(self) -> tuple[Launcher, _Blueprint]:
        """Return the living spawner, starting one if there is none."""
        async with self._opening:
            if self._closed:
                raise SandboxUnavailable("these sandboxes are closed")
            if self._plan is None:
                self._plan = await asyncio.to_thread(self._make_plan)
            if self._launcher and not self._launcher.alive:
                await self._launcher.close()
                self._launcher = None
            if self._launcher is None:
                self._launcher = Launcher(self._cgroups)
            if self._blueprint is None:
                self._blueprint = await self._draw_up(self._plan, self._launcher)
            return self._launcher, self._blueprint

    def _make_plan(self) -> _Plan:
        """Find the control groups, the programs and the image."""
        self._cgroups = cgroups.detect()
        self.info = _info(self._cgroups)
        if self._config.require_cgroups and self._cgroups is None:
            raise SandboxUnavailable(
                "no control groups can be made here", hint="run as root, or in a delegated scope"
            )
        root = Path("/")
        if self._config.image:
            image = images.find(self._config.image)
            root = image.root
            self.info = replace(self.info, image=str(image))
        program = bpf.build_filter(platform.machine(), allow_memfd=self._cgroups is not None)
        return _Plan(bubblewrap.find(), root, program)

    async def _draw_up(self, plan: _Plan, launcher: Launcher) -> _Blueprint:
        """Compile the worker with the interpreter that will run it."""
        python = self._config.python
        if self._config.image:
            code = await _compile_inside(plan, launcher, python)
        else:
            code = await asyncio.to_thread(bundle.compiled, python)
        # -I would ignore the hash seed as well.
        boot = bundle.boot(len(code), ENVIRONMENT)
        return _Blueprint(plan.command(python, "-s", "-S", "-B", "-c", boot), code, plan.seccomp)


async def _compile_inside(plan: _Plan, launcher: Launcher, python: str) -> bytes:
    """Return the worker compiled by the interpreter of an image, which runs only in there."""
    launched = launcher.launch(
        plan.command(python, "-I", "-S", "-c", bundle.COMPILE),
        stdin=bundle.sources(),
        seccomp=plan.seccomp,
    )
    try:
        async with asyncio.timeout(_COMPILE_S):
            channel = SocketChannel(launched.channel)
            output = await converse(channel, b"", max_bytes=bundle.MOST_COMPILED)
            await asyncio.shield(launched.gone)
        code = bundle.finished(output)
        if code is None:
            raise bubblewrap.explain(_complaint(launched, "no worker came out of it"))
    except TimeoutError as error:
        raise SandboxUnavailable(f"no sandbox answered within {_COMPILE_S:g} s") from error
    finally:
        launched.kill()
        os.close(launched.stderr)
    return code


def _complaint(launched: Launched, otherwise: object) -> str:
    """Return what bwrap said; where it said nothing, what else is known."""
    os.set_blocking(launched.stderr, False)
    with contextlib.suppress(BlockingIOError):
        if said := os.read(launched.stderr, 4096):
            return said.decode("utf-8", "replace")
    end = f" ({launched.gone.result()})" if launched.gone.done() else ""
    return f"{otherwise}{end}"


def _info(groups: cgroups.Cgroups | None) -> SandboxInfo:
    how = groups.name if groups else "rlimit"
    if groups is None:
        logger.warning("no control groups here: memory is limited per process, not per sandbox")
    uid = "200000 and up" if os.getuid() == 0 else str(os.getuid())
    enforced = dict.fromkeys(("memory", "pids", "cpu"), how) | {"seccomp": "filter", "uid": uid}
    total = groups.memory_bytes() if groups else None
    if total is not None:
        enforced["memory of all"] = f"{total / (1 << 30):.1f} GiB"
    return SandboxInfo(backend="local", enforced=enforced, protected="dumpable")
