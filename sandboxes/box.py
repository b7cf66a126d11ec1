"""One running local sandbox: the host's end of the worker's protocol.

Whatever comes from inside is bounded before it is read and parsed as fixed binary fields. Any
violation, any missing answer and any cancelled call destroys the sandbox.
"""

import asyncio
import errno
import itertools
import math
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from agentgym.errors import SandboxDied, SandboxProtocolError, SandboxUnavailable
from agentgym.sandbox import ExecResult, Limits, Sandbox, SandboxInfo, Status
from agentgym.sandboxes import bubblewrap, worker
from agentgym.sandboxes.launcher import Launched, Launcher

_OUTER_S = 2.0  # the worker ends a program at its deadline; without an answer we end both
_START_S = 30.0
_RESET_S = 5.0
_CLOSE_S = 5.0
_STATUSES = (Status.EXITED, Status.SIGNALED, Status.TIMEOUT, Status.OUTPUT_LIMIT)
_FILE_ERRORS = {
    errno.EINVAL: "not a regular file",
    errno.ELOOP: "a link",
    errno.ENOTDIR: "a folder of it is a link or no folder",
    errno.EFBIG: "larger than allowed",
}

_ids = itertools.count()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What all sandboxes of a pool have in common."""

    argv: list[str]
    worker_code: bytes
    seccomp: bytes
    limits: Limits
    cpus: float
    info: SandboxInfo


class _Reply(NamedTuple):
    status: Status
    code: int
    stdout_total: int
    stderr_total: int
    wall_s: float
    cpu_s: float
    stdout: bytes
    stderr: bytes


class _Counters(NamedTuple):
    oom_kills: int
    cpu_s: float | None


class LocalSandbox(Sandbox):
    """A bubblewrap sandbox with a warm Python worker as its PID 1."""

    def __init__(
        self, launched: Launched, blueprint: Blueprint, *, exec_slots: asyncio.Semaphore
    ) -> None:
        self.id = f"local-{os.getpid()}-{next(_ids)}"
        uid = launched.slot.uid
        uid = os.getuid() if uid is None else uid
        self.info = replace(blueprint.info, enforced={**blueprint.info.enforced, "uid": str(uid)})
        self.lost = False
        """It is destroyed, or about to be."""
        self.num_calls = 0
        self.num_leases = 0
        """Kept by the pool."""
        self.gone = launched.gone
        """Done when nothing of it is left."""
        self._launched = launched
        self._channel = launched.channel
        self._group = launched.slot.group
        self._default_limits = blueprint.limits
        self._cpus = blueprint.cpus
        self._exec_slots = exec_slots
        self._applied: Limits | None = None
        self._busy = False

    @classmethod
    async def start(
        cls, launcher: Launcher, blueprint: Blueprint, *, exec_slots: asyncio.Semaphore
    ) -> "LocalSandbox":
        """Start one and wait until its worker is ready.

        Raises:
            SandboxUnavailable: it does not start here, or its worker cannot be protected.
        """
        slot = launcher.take_slot()
        launched = launcher.launch(
            blueprint.argv, stdin=blueprint.worker_code, seccomp=blueprint.seccomp, slot=slot
        )
        sandbox = cls(launched, blueprint, exec_slots=exec_slots)
        try:
            sandbox._prepare(blueprint.limits)
            await sandbox._become_ready()
        except BaseException:
            sandbox.destroy()
            raise
        finally:
            os.close(launched.stderr)
        return sandbox

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "/box",
        limits: Limits | None = None,
    ) -> ExecResult:
        """Run a program; `env` is added to the sandbox's own few variables."""
        if not argv:
            raise ValueError("argv is empty")
        variables = bubblewrap.ENVIRONMENT | dict(env or {})
        words = [cwd, str(len(argv)), *argv, *(f"{k}={v}" for k, v in variables.items())]
        if any("\0" in word for word in words):
            raise ValueError("a program's arguments cannot hold a NUL character")
        subject = "\0".join(words).encode("utf-8", "surrogateescape")
        return await self._run(b"X", subject, stdin, limits)

    async def python(
        self, code: str | bytes, *, stdin: bytes = b"", limits: Limits | None = None
    ) -> ExecResult:
        """Run Python source in a fork of the worker, with /box on its path."""
        if isinstance(code, str):
            code = code.encode("utf-8", "surrogatepass")
        return await self._run(b"P", code, stdin, limits)

    async def read_file(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """Read a regular file, inside, without following any link."""
        return await self._file(b"R", b"", path, b"", max_bytes)

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a regular file, inside, in the place of whatever has its name."""
        await self._file(b"W", b"%o\0" % (mode & 0o777), path, content, 0)

    async def reset(self) -> bool:
        """Kill, wipe and compare with the start, inside; destroy it when in doubt."""
        if self.lost:
            return False
        try:
            reply = await self._call(b"Z", b"", b"", Limits(wall_s=_RESET_S))
        except (SandboxDied, SandboxProtocolError, TimeoutError):
            return False
        if reply.code != 1:
            self.destroy()
        return reply.code == 1

    async def close(self) -> None:
        """Kill the worker and wait until nothing is left."""
        self.destroy()
        await asyncio.wait([self.gone], timeout=_CLOSE_S)

    def destroy(self) -> None:
        """Have it killed, without waiting: what is left to do happens in the spawner."""
        if self.lost:
            return
        self.lost = True
        self._launched.kill()
        if self._busy:
            self._channel.shutdown(socket.SHUT_RDWR)
        else:
            self._channel.close()

    def is_quiet(self) -> bool:
        """Whether it is alive and waits to be asked."""
        try:
            self._expect_silence()
        except (OSError, SandboxDied, SandboxProtocolError):
            self.destroy()
        return not self.lost

    async def _run(
        self, operation: bytes, subject: bytes, stdin: bytes, limits: Limits | None
    ) -> ExecResult:
        limits = limits or self._default_limits
        async with self._exec_slots:
            before = self._prepare(limits)
            try:
                reply = await self._call(operation, subject, stdin, limits)
            except TimeoutError:
                return ExecResult(status=Status.TIMEOUT, wall_s=limits.wall_s, sandbox_lost=True)
            except SandboxDied:
                kills = self._counters().oom_kills - before.oom_kills
                if not kills:
                    raise
                return ExecResult(status=Status.OOM, oom_kills=kills, sandbox_lost=True)
            after = self._counters()
        if before.cpu_s is not None and after.cpu_s is not None:
            reply = reply._replace(cpu_s=after.cpu_s - before.cpu_s)
        return _result(reply, limits, after.oom_kills - before.oom_kills)

    async def _file(
        self, operation: bytes, prefix: bytes, path: str, content: bytes, max_bytes: int
    ) -> bytes:
        subject = prefix + _checked_path(path)
        limits = self._default_limits.model_copy(
            update={"keep_output_bytes": max_bytes, "max_output_bytes": max_bytes}
            | {"file_bytes": len(content), "wall_s": 30.0, "cpu_s": 30.0}
        )
        async with self._exec_slots:
            try:
                reply = await self._call(operation, subject, content, limits)
            except TimeoutError as error:
                raise SandboxDied(f"{self.id} did not answer for {path!r}") from error
        if reply.status is not Status.EXITED:
            self.destroy()
            raise SandboxDied(f"{self.id}: access to {path!r} ended with {reply.status}")
        if reply.code == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if reply.code:
            raise ValueError(f"{path!r}: {_FILE_ERRORS.get(reply.code, os.strerror(reply.code))}")
        return reply.stdout

    def _prepare(self, limits: Limits) -> _Counters:
        """Set the limits that hold for the whole tree; bwrap and the worker are in it."""
        if self._group and limits != self._applied:
            try:
                self._group.limit(
                    memory_bytes=limits.memory_bytes, pids=limits.pids + 2, cpus=self._cpus
                )
            except OSError as error:  # it is gone, or holds more than that already
                self.destroy()
                raise SandboxDied(f"{self.id} cannot be limited: {error}") from error
            self._applied = limits
        return self._counters()

    def _counters(self) -> _Counters:
        if self._group is None:
            return _Counters(0, None)
        try:
            return _Counters(self._group.oom_kills(), self._group.cpu_s())
        except OSError as error:
            self.destroy()
            raise SandboxDied(f"{self.id} died, and its control group: {error}") from error

    async def _become_ready(self) -> None:
        limits = Limits(keep_output_bytes=64)
        try:
            async with asyncio.timeout(_START_S):
                ready = await self._receive(0, limits)
        except SandboxDied as error:
            await asyncio.wait([self.gone], timeout=_CLOSE_S)
            raise bubblewrap.explain(self._complaint()) from error
        except TimeoutError as error:
            raise SandboxUnavailable(f"no sandbox was ready within {_START_S:g} s") from error
        if ready.stdout.decode() != self.info.protected:
            raise SandboxUnavailable(
                "the Python of the sandbox cannot protect its worker: it has no ctypes",
                hint="apt-get install python3",
            )

    def _complaint(self) -> str:
        os.set_blocking(self._launched.stderr, False)
        try:
            said = os.read(self._launched.stderr, 4096).decode("utf-8", "replace")
        except BlockingIOError:
            said = ""
        return said or (self.gone.result() if self.gone.done() else "")

    async def _call(
        self, operation: bytes, subject: bytes, content: bytes, limits: Limits
    ) -> _Reply:
        """Send one request and await its reply; destroy the sandbox unless it is a good one.

        Raises:
            TimeoutError: the worker did not keep the deadline.
            SandboxDied, SandboxProtocolError: it is gone, or broke the framing.
        """
        if self.lost:
            raise SandboxDied(f"{self.id} is destroyed")
        if self._busy:
            raise RuntimeError(f"{self.id} runs one program at a time")
        self._busy = True
        self.num_calls += 1
        memory = 0 if self._group else limits.memory_bytes
        request = worker.REQUEST.pack(
            self.num_calls,
            operation,
            limits.wall_s,
            math.ceil(limits.cpu_s),
            memory,
            limits.pids,
            limits.open_files,
            limits.file_bytes,
            limits.keep_output_bytes,
            limits.max_output_bytes,
            len(subject),
            len(content),
        )
        try:
            self._expect_silence()
            async with asyncio.timeout(limits.wall_s + _OUTER_S):
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(self._channel, request + subject + content)
                return await self._receive(self.num_calls, limits)
        except BaseException as error:
            self.destroy()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise SandboxDied(f"{self.id} died: {error}") from error
            raise
        finally:
            self._busy = False
            if self.lost:
                self._channel.close()

    def _expect_silence(self) -> None:
        """A worker speaks when it is asked; bytes before that are a forgery."""
        try:
            data = self._channel.recv(1)
        except BlockingIOError:
            return
        if data:
            raise SandboxProtocolError(f"{self.id} sent something it was not asked for")
        raise SandboxDied(f"{self.id} died")

    async def _receive(self, number: int, limits: Limits) -> _Reply:
        loop = asyncio.get_running_loop()
        header = worker.REPLY.size
        data = bytearray()
        size = header
        while len(data) < size:
            try:
                chunk = await loop.sock_recv(self._channel, max(size - len(data), 1 << 16))
            except ConnectionError:  # it ended before it had read everything
                chunk = b""
            if not chunk:
                raise SandboxDied(f"{self.id} died")
            data += chunk
            if size == header and len(data) >= header:
                size = header + self._reply_size(data[:header], number, limits)
        if len(data) > size:
            raise SandboxProtocolError(f"{self.id} sent more than a reply")
        _, status, code, out_total, err_total, wall_s, cpu_s, out, _ = worker.REPLY.unpack(
            data[:header]
        )
        stdout, stderr = bytes(data[header : header + out]), bytes(data[header + out :])
        return _Reply(_STATUSES[status], code, out_total, err_total, wall_s, cpu_s, stdout, stderr)

    def _reply_size(self, header: bytearray, number: int, limits: Limits) -> int:
        answered, status, _, out_total, err_total, *_, out, err = worker.REPLY.unpack(header)
        keep = limits.keep_output_bytes
        if answered != number or status >= len(_STATUSES) or out > keep or err > keep:
            raise SandboxProtocolError(f"{self.id} sent a broken reply")
        if out > out_total or err > err_total:
            raise SandboxProtocolError(f"{self.id} sent a broken reply")
        return int(out + err)


def _result(reply: _Reply, limits: Limits, oom_kills: int) -> ExecResult:
    """Judge what the program did: the first limit it broke counts, not how it then ended."""
    status, code = reply.status, reply.code
    killed_for_cpu = status is Status.SIGNALED and code == signal.SIGXCPU
    if oom_kills:
        status = Status.OOM
    elif status is not Status.OUTPUT_LIMIT and (killed_for_cpu or reply.cpu_s >= limits.cpu_s):
        status = Status.CPU_LIMIT
    return ExecResult(
        status=status,
        exit_code=code if status is Status.EXITED else None,
        signal=code if status is Status.SIGNALED else None,
        stdout=reply.stdout,
        stderr=reply.stderr,
        stdout_total=reply.stdout_total,
        stderr_total=reply.stderr_total,
        wall_s=reply.wall_s,
        cpu_s=reply.cpu_s,
        oom_kills=oom_kills,
    )


def _checked_path(path: str) -> bytes:
    """Return the absolute path inside, by rules that need no file system."""
    raw = (path if path.startswith("/") else f"/box/{path}").encode("utf-8", "surrogateescape")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    is_ours = len(parts) > 1 and parts[0] in (b"box", b"tmp")
    is_short = len(raw) < 4096 and all(len(part) < 256 for part in parts)
    if not is_ours or not is_short or b".." in parts or b"\0" in raw:
        raise ValueError(f"{path!r} is not a path under /box or /tmp")
    return b"/" + b"/".join(parts)
