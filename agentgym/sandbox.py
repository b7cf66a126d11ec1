"""The contract of a sandbox: where code written by a model runs.

What the program did is a result; what happened to the machinery is a `SandboxError`, which is
never shown to the model as output and never becomes a reward.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self

from pydantic import BaseModel, Field


class Status(StrEnum):
    """What a program did."""

    EXITED = "exited"
    SIGNALED = "signaled"
    TIMEOUT = "timeout"
    CPU_LIMIT = "cpu_limit"
    OOM = "oom"
    OUTPUT_LIMIT = "output_limit"


class Limits(BaseModel, extra="forbid", frozen=True):
    """What one program may use.

    Wall time is loose and CPU time tight, so that a busy machine does not change verdicts. The
    upper bounds are what kernels and the sandbox's own counting can take.
    """

    wall_s: float = Field(default=10.0, gt=0, le=1e6)
    """Seconds on the clock."""
    cpu_s: float = Field(default=5.0, gt=0, le=1e6)
    """Seconds of processor time."""
    memory_bytes: int = Field(default=512 << 20, ge=32 << 20, le=1 << 50)
    """Memory of all its processes, and of the files and sessions that are there already; of each
    process, where control groups do not work."""
    pids: int = Field(default=64, ge=1, le=1 << 20)
    """Processes and threads at once."""
    open_files: int = Field(default=256, ge=16, le=1 << 20)
    """Open files of one process."""
    file_bytes: int = Field(default=64 << 20, ge=0, le=1 << 50)
    """Largest file that it writes."""
    keep_output_bytes: int = Field(default=64 << 10, ge=0, le=1 << 30)
    """Kept of each stream: the first and the last half of this."""
    max_output_bytes: int = Field(default=16 << 20, ge=0, le=1 << 50)
    """A program that writes more is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What became of one program."""

    status: Status
    exit_code: int | None = None
    """None unless EXITED. Never a verdict: a program chooses it."""
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_total: int = 0
    """Bytes written, also those not kept."""
    stderr_total: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    oom_kills: int = 0
    session_ended: bool = False
    """The session is no more: its code exited, died or broke a limit."""
    sandbox_lost: bool = False
    """The sandbox had to be destroyed to end this call."""

    @property
    def timed_out(self) -> bool:
        """Whether a time limit ended it."""
        return self.status in (Status.TIMEOUT, Status.CPU_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """What this sandbox really is."""

    backend: str
    enforced: Mapping[str, str] = field(default_factory=dict)
    """How each limit holds here: `memory`, `pids`, `cpu` -> cgroup2, cgroup1, engine or rlimit;
    `seccomp` -> filter, or runtime where that has a kernel of its own; `uid` -> the kernel uid
    that programs of this sandbox run as, or of all of them in words."""
    protected: str = "none"
    """What keeps programs off the worker: `dumpable`, `two-uid` or `none`."""
    image: str | None = None
    """What it is made from, as name@digest; None: of this machine itself."""

    def to_json(self) -> dict[str, object]:
        """Return what all sandboxes of a run have in common."""
        enforced = {name: how for name, how in self.enforced.items() if name != "uid"}
        return {"backend": self.backend, "image": self.image, "enforced": enforced}


class Session(ABC):
    """One Python process whose variables live across calls, as in a notebook.

    Between calls it stands still, and nothing that it started is left. It shares the sandbox's
    files and limits with everything else there, and takes turns with it.
    """

    sandbox: "Sandbox"
    ended: bool
    """Calls are answered no more."""

    @abstractmethod
    async def python(self, code: str | bytes, *, limits: Limits | None = None) -> ExecResult:
        """Run code; the value of a last expression is printed, as in a notebook.

        An exception is a result and leaves the session as it is. Code that exits, dies or
        breaks a limit ends it, and the result says `session_ended`. Limits are those of the call;
        of each process, `pids`, `open_files` and `file_bytes` stay those that the session was
        opened with, and `memory_bytes` does where control groups do not work.

        Raises:
            ValueError: the session has ended, or the code is too large to be sent.
            SandboxDied, SandboxProtocolError: as `Sandbox.exec`.
        """

    @abstractmethod
    async def fork(self, k: int = 1) -> "list[Session]":
        """Copy the session, variables and random state and all; each copy goes on by itself.

        Copies are processes of the same sandbox: they share its files, its limits, the places
        in files that are open, and memory that was mapped to be shared. Independent files need
        `Sandbox.snapshot`.

        Raises:
            ValueError: it cannot be copied, with the reason: it runs threads, holds a socket,
                has ended, did not answer in time and has ended, or there would be too many.
            SandboxDied, SandboxProtocolError: as `Sandbox.exec`.
        """

    @abstractmethod
    async def close(self) -> None:
        """End it. Idempotent, never raises."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Sandbox(ABC):
    """One isolated place. Calls take turns: one program at a time.

    It is its holder's until the lease ends. What is called then, or still waits for its turn, is
    refused as if the sandbox had died, and `close` and `reset` do nothing.
    """

    id: str
    info: SandboxInfo

    @abstractmethod
    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "/box",
        limits: Limits | None = None,
    ) -> ExecResult:
        """Run a program in a fresh process.

        A missing or failing program is a result. When this returns, no process of the program
        is left. A cancelled call destroys the sandbox.

        Raises:
            ValueError: `argv` is empty or holds a NUL, or all of it is too large to be sent.
            SandboxDied, SandboxProtocolError: the sandbox is gone or lied; it is destroyed.
        """

    @abstractmethod
    async def python(
        self, code: str | bytes, *, stdin: bytes = b"", limits: Limits | None = None
    ) -> ExecResult:
        """Run Python source in a fork of the warm worker: an `exec` without the start-up.

        The program can read the worker's memory, so that nothing secret may be sent to a
        sandbox in which untrusted code runs.

        Raises:
            ValueError: it is too large to be sent.
            SandboxDied, SandboxProtocolError: as `exec`.
        """

    @abstractmethod
    async def read_file(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """Read a regular file under /box or /tmp; links, devices and larger files are refused.

        Raises:
            ValueError: the path is not allowed, or is no regular file of at most `max_bytes`.
            FileNotFoundError: there is none.
            SandboxDied, SandboxProtocolError: as `exec`.
        """

    @abstractmethod
    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a regular file under /box or /tmp, making its folders.

        Raises:
            ValueError: the path is not allowed, or there is no room.
            FileNotFoundError: a folder of it cannot be made.
            SandboxDied, SandboxProtocolError: as `exec`.
        """

    async def session(self, *, limits: Limits | None = None) -> Session:
        """Open a session; it ends with the sandbox, or with a `reset`.

        Raises:
            ValueError: there are too many, or too many processes of others.
            NotImplementedError: this backend has none.
            SandboxDied, SandboxProtocolError: as `exec`.
        """
        raise NotImplementedError(f"{self.info.backend} has no sessions")

    async def snapshot(self, *, max_bytes: int = 64 << 20) -> bytes:
        """Return /box as a tar archive of its files and folders, made inside.

        Links, devices, pipes and sockets are left out.

        Raises:
            ValueError: it is larger than that, or holds what cannot be read.
            NotImplementedError: this backend has none.
            SandboxDied, SandboxProtocolError: as `exec`.
        """
        raise NotImplementedError(f"{self.info.backend} has no snapshot")

    async def restore(self, archive: bytes) -> None:
        """Put an archive in the place of all that is in /box, inside.

        The archive may be anybody's: one with anything but files and folders, with too many, or
        with a name that leads elsewhere is refused, and changes nothing. Where there is no room
        for it, or a file of it stands where another needs a folder, /box holds a part of it.

        Raises:
            ValueError: it is refused, there is no room, or it contradicts itself.
            NotImplementedError: this backend has none.
            SandboxDied, SandboxProtocolError: as `exec`.
        """
        raise NotImplementedError(f"{self.info.backend} has no restore")

    @abstractmethod
    async def reset(self) -> bool:
        """Wipe everything a program could have left. True only when verified; False: destroy."""

    @abstractmethod
    async def close(self) -> None:
        """Destroy the sandbox. Idempotent, bounded in time, never raises."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Sandboxes(Protocol):
    """Where environments get their sandboxes from."""

    @property
    def info(self) -> SandboxInfo:
        """What its sandboxes are."""
        ...

    def lease(self, *, fresh: bool = False) -> AbstractAsyncContextManager[Sandbox]:
        """Hold a clean sandbox for a while; `fresh` forbids one that ran anything before.

        Nothing of the sandbox, nor of its sessions, can be used when this has ended.

        Raises:
            SandboxUnavailable: none can be started.
        """
        ...

    def room(self) -> int:
        """Return how many more could be leased now; below 0: how many wait for one."""
        ...

    def scalars(self) -> dict[str, float]:
        """Return what was counted so far, by names that begin with `sandbox/`."""
        ...

    async def close(self) -> None:
        """Destroy all of them. Idempotent; a cancellation comes after it is done."""
        ...
