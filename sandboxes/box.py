"""One running sandbox: programs, files and sessions by way of its worker."""

import asyncio
import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentgym.errors import SandboxDied, SandboxProtocolError, SandboxUnavailable
from agentgym.sandbox import ExecResult, Limits, Sandbox, SandboxInfo, Session, Status
from agentgym.sandboxes.cgroups import Group
from agentgym.sandboxes.channel import Channel
from agentgym.sandboxes.counters import Counters, Counts
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.line import Line, Reply, encoded
from agentgym.sandboxes.metrics import Timing
from agentgym.sandboxes.session import WorkerSession

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/box",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    # A set of strings iterates alike in every sandbox, so that replayed output is equal.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Their threads would count as processes, and a session that has threads cannot be forked.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All that a program finds in its environment, unless an image has another PATH."""

_READY_S = 30.0
_RESET_S = 5.0
_FILES_S = 30.0
_CLOSE_S = 5.0
_BUSY_S = 1.0
_FILE_ERRORS = {
    errno.EINVAL: "not a regular file",
    errno.ELOOP: "a link",
    errno.ENOTDIR: "a folder of it is a link or no folder",
    errno.EFBIG: "larger than allowed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a backend started: something that a worker runs in."""

    name: str
    info: SandboxInfo
    channel: Channel
    group: Group | None
    """The control group that limits and counts; None: it is out of reach."""
    held: Limits | None = None
    """What somebody else holds for all of it, whatever a call asks for; None: nobody does."""
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    """Of the programs."""
    gone: asyncio.Future[str]
    """Done with the reason when nothing of it is left."""
    kill: Callable[[], None] = field(repr=False)
    """Have all of it ended, without waiting."""


class WorkerSandbox(Sandbox):
    """A sandbox whose PID 1 is our worker."""

    def __init__(
        self, machine: Machine, *, limits: Limits, cpus: float, exec_slots: asyncio.Semaphore
    ) -> None:
        self.id = machine.name
        self.info = machine.info
        self.lost = False
        """It is destroyed, or about to be."""
        self.num_calls = 0
        self.num_leases = 0
        """Kept by the pool."""
        self.born = self.last_call = time.monotonic()
        self.timing = Timing()
        """Of calls; a pool puts its own here."""
        self.gone = machine.gone
        """Done when nothing of it is left."""
        self._machine = machine
        self._line = Line(machine.name, machine.channel, destroy=self.destroy)
        self._group = machine.group
        self._default_limits = limits
        self._cpus = cpus
        self._exec_slots = exec_slots
        self._turn = asyncio.Lock()
        self._applied: Limits | None = None

    async def become_ready(self) -> None:
        """Wait until the worker is ready; to be called once, before anything else.

        Raises:
            SandboxDied, SandboxProtocolError: it did not start.
            SandboxUnavailable: it cannot be protected, or took too long.
        """
        try:
            await self._prepare(self._default_limits)
            async with asyncio.timeout(_READY_S):
                ready = await self._line.greeting()
        except TimeoutError as error:
            raise SandboxUnavailable(f"no sandbox was ready within {_READY_S:g} s") from error
        protection, _, seccomp_mode = ready.stdout.decode("ascii", "replace").partition(" ")
        if protection != self.info.protected:
            raise SandboxUnavailable(
                "the Python of the sandbox cannot protect its worker: prctl does not work there",
                hint="choose an image with CPython of its distribution: agentgym sandbox build",
            )
        if self.info.enforced.get("seccomp") == "filter" and seccomp_mode != "2":
            raise SandboxUnavailable(
                "the kernel filters no system calls in the sandbox",
                hint="run on a kernel with CONFIG_SECCOMP_FILTER, in the engine's own runtime",
            )

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
        variables = {**self._machine.environment, **(env or {})}
        words = [cwd, str(len(argv)), *argv, *(f"{k}={v}" for k, v in variables.items())]
        if any("\0" in word for word in words):
            raise ValueError("a program's arguments cannot hold a NUL character")
        subject = "\0".join(words).encode("utf-8", "surrogateescape")
        return await self._run(wire.EXEC, subject, stdin, limits)

    async def python(
        self, code: str | bytes, *, stdin: bytes = b"", limits: Limits | None = None
    ) -> ExecResult:
        """Run Python source in a fork of the worker, with /box on its path."""
        return await self._run(wire.PYTHON, encoded(code), stdin, limits)

    async def read_file(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """Read a regular file, inside, without following any link."""
        reply = await self._file(wire.READ, checked_path(path), b"", max_bytes)
        _raise_for(reply, path)
        return reply.stdout

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a regular file, inside, in the place of whatever has its name."""
        subject = b"%o\0" % (mode & 0o777) + checked_path(path)
        _raise_for(await self._file(wire.WRITE, subject, content, 0), path)

    async def snapshot(self, *, max_bytes: int = 64 << 20) -> bytes:
        """Return /box as a tar archive, made inside."""
        reply = await self._file(wire.SNAPSHOT, b"", b"", max_bytes)
        if reply.status is Status.OUTPUT_LIMIT:
            raise ValueError(f"/box is larger than {max_bytes} bytes")
        _raise_for(reply, "/box")
        return reply.stdout

    async def restore(self, archive: bytes) -> None:
        """Put an archive in the place of /box, checked and unpacked inside."""
        reply = await self._file(wire.RESTORE, b"", archive, 0)
        if reply.code == errno.EBADMSG:
            said = reply.stderr.decode("utf-8", "replace")
            raise ValueError(f"the archive is refused: {said}")
        _raise_for(reply, "/box")

    async def session(self, *, limits: Limits | None = None) -> Session:
        """Open a session."""
        limits = limits or self._default_limits
        reply = await self.ask(wire.OPEN, b"", limits)
        if reply.code:
            raise ValueError(reply.stdout.decode("ascii", "replace"))
        return WorkerSession(self, int(reply.stdout), limits)

    async def reset(self) -> bool:
        """Kill, wipe and compare with the start, inside; destroy it when in doubt."""
        if self.lost:
            return False
        try:
            reply = await self.ask(wire.RESET, b"", Limits(wall_s=_RESET_S))
        except (SandboxDied, SandboxProtocolError):
            return False
        if reply.code != 1:
            self.destroy()
        return reply.code == 1

    async def close(self) -> None:
        """Kill the worker and wait until nothing is left."""
        self.destroy()
        await asyncio.wait([self.gone], timeout=_CLOSE_S)

    def destroy(self) -> None:
        """Have it killed, without waiting: what is left to do happens elsewhere."""
        if self.lost:
            return
        self.lost = True
        self._machine.kill()
        self._line.close()

    def is_quiet(self) -> bool:
        """Whether it is alive and waits to be asked."""
        if self.lost:
            return False
        try:
            self._line.expect_silence()
        except (OSError, SandboxDied, SandboxProtocolError):
            self.destroy()
        return not self.lost

    async def answers(self) -> bool:
        """Whether it still does; else it is destroyed."""
        calls = self.num_calls
        with contextlib.suppress(SandboxDied, SandboxProtocolError):
            await self.ask(wire.END, b"", Limits(wall_s=_RESET_S))
        self.num_calls = calls  # nobody's program
        return not self.lost

    async def ask(
        self, operation: bytes, subject: bytes, limits: Limits, *, session: int = 0
    ) -> Reply:
        """Ask the worker itself for something that is no program.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, broke the framing or did not answer.
        """
        async with self._turn, self._exec_slots:
            return await self._call(operation, subject, b"", limits, session=session)

    async def run_in_session(self, session: int, code: bytes, limits: Limits) -> ExecResult:
        """Run code in a session, by its number."""
        return await self._run(wire.CALL, code, b"", limits, session=session)

    async def _run(
        self,
        operation: bytes,
        subject: bytes,
        stdin: bytes,
        limits: Limits | None,
        *,
        session: int = 0,
    ) -> ExecResult:
        limits = limits or self._default_limits
        async with self._turn, self._exec_slots:
            await self._prepare(limits)
            with self._counters() as counters:
                before = self._read(counters)
                try:
                    reply = await self._line_call(
                        operation, subject, stdin, limits, session=session
                    )
                except TimeoutError:
                    return ExecResult(
                        status=Status.TIMEOUT, wall_s=limits.wall_s, sandbox_lost=True
                    )
                except SandboxDied:
                    kills = self._read(counters).oom_kills - before.oom_kills
                    if not kills:
                        raise
                    return ExecResult(status=Status.OOM, oom_kills=kills, sandbox_lost=True)
                after = self._read(counters)
        if before.cpu_s is not None and after.cpu_s is not None:
            reply = reply._replace(cpu_s=after.cpu_s - before.cpu_s)
        return _result(reply, limits, after.oom_kills - before.oom_kills)

    async def _file(
        self, operation: bytes, subject: bytes, content: bytes, max_bytes: int
    ) -> Reply:
        """Run what moves files; the programs of the sandbox have no part in it."""
        limits = self._default_limits.model_copy(
            update={"keep_output_bytes": max_bytes, "max_output_bytes": max_bytes}
            | {"file_bytes": len(content), "wall_s": _FILES_S, "cpu_s": _FILES_S}
        )
        if operation == wire.RESTORE:  # it says on stderr why it refuses
            limits = limits.model_copy(update={"keep_output_bytes": 4096, "max_output_bytes": 4096})
        async with self._turn, self._exec_slots:
            reply = await self._call(operation, subject, content, limits)
        if reply.status not in (Status.EXITED, Status.OUTPUT_LIMIT):
            self.destroy()
            raise SandboxDied(f"{self.id}: access to its files ended with {reply.status}")
        return reply

    async def _call(
        self, operation: bytes, subject: bytes, content: bytes, limits: Limits, *, session: int = 0
    ) -> Reply:
        try:
            return await self._line_call(operation, subject, content, limits, session=session)
        except TimeoutError as error:
            raise SandboxDied(f"{self.id} did not answer") from error

    async def _line_call(
        self, operation: bytes, subject: bytes, content: bytes, limits: Limits, *, session: int
    ) -> Reply:
        self.num_calls += 1
        began = time.monotonic()
        try:
            return await self._line.call(
                operation,
                subject,
                content,
                limits,
                session=session,
                count_memory=self._only_processes_are_limited(limits),
            )
        finally:
            self.last_call = time.monotonic()
            self.timing.add(self.last_call - began)

    def _only_processes_are_limited(self, limits: Limits) -> bool:
        """Whether nobody keeps the whole of it to this much memory."""
        if self._group and self._group.is_ours:
            return False
        held = self._machine.held
        return held is None or limits.memory_bytes < held.memory_bytes

    async def _prepare(self, limits: Limits) -> None:
        """Set the limits that hold for the whole tree; the worker is in it."""
        if self._group and self._group.is_ours and limits != self._applied:
            await self._limit(self._group, limits)
            self._applied = limits

    async def _limit(self, group: Group, limits: Limits) -> None:
        # Each program's own limit holds it to its number; here there is room for all that sessions
        # hold, for one program more, the worker and what started it.
        pids = max(limits.pids, self._default_limits.pids) + 3
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                group.limit(memory_bytes=limits.memory_bytes, pids=pids, cpus=self._cpus)
                return
            except OSError as error:  # it is gone, or holds more than that already
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    self.destroy()
                    raise SandboxDied(f"{self.id} cannot be limited: {error}") from error
            await asyncio.sleep(0.01)  # the kernel takes back the memory of the dead a little later

    def _counters(self) -> contextlib.AbstractContextManager[Counters | None]:
        if self._group is None:
            return contextlib.nullcontext()
        try:
            return Counters(self._group)
        except OSError as error:
            self.destroy()
            raise SandboxDied(f"{self.id} died, and its control group: {error}") from error

    def _read(self, counters: Counters | None) -> Counts:
        try:
            return counters.read() if counters else Counts(0, None)
        except OSError as error:
            self.destroy()
            raise SandboxDied(f"{self.id} died, and its control group: {error}") from error


def with_uid(info: SandboxInfo, uid: int) -> SandboxInfo:
    """Return what is said of one sandbox, whose programs run as this user."""
    return replace(info, enforced={**info.enforced, "uid": str(uid)})


def checked_path(path: str) -> bytes:
    """Return the absolute path inside, by rules that need no file system.

    Raises:
        ValueError: it is none under /box or /tmp.
    """
    raw = (path if path.startswith("/") else f"/box/{path}").encode("utf-8", "surrogateescape")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    is_ours = len(parts) > 1 and parts[0] in (b"box", b"tmp")
    is_short = len(raw) < 4096 and all(len(part) < 256 for part in parts)
    if not is_ours or not is_short or b".." in parts or b"\0" in raw:
        raise ValueError(f"{path!r} is not a path under /box or /tmp")
    return b"/" + b"/".join(parts)


def _raise_for(reply: Reply, path: str) -> None:
    if reply.code == errno.ENOENT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if reply.code:
        raise ValueError(f"{path!r}: {_FILE_ERRORS.get(reply.code, os.strerror(reply.code))}")


def _result(reply: Reply, limits: Limits, oom_kills: int) -> ExecResult:
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
        session_ended=reply.session_ended,
    )
