"""A sandbox as whoever leased it has it: programs, files and sessions, until the lease ends."""

import errno
from collections.abc import Mapping, Sequence

from agentgym.sandbox import ExecResult, Limits, Sandbox, Session, Status
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.line import Reply, encoded
from agentgym.sandboxes.paths import checked_path, raise_for
from agentgym.sandboxes.session import WorkerSession


class LeasedSandbox(Sandbox):
    """Asks a sandbox for what the contract promises; refused when somebody else holds it."""

    def __init__(self, box: WorkerSandbox) -> None:
        """Take hold of it: from now on nobody else may use it."""
        self.id = box.id
        self.info = box.info
        self._box = box
        box.holder = self

    @property
    def lost(self) -> bool:
        """Whether it can be used no more: it is destroyed, or was given back."""
        return self._box.lost or self._box.holder is not self

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
        variables = {**self._box.environment, **(env or {})}
        words = [cwd, str(len(argv)), *argv, *(f"{k}={v}" for k, v in variables.items())]
        if any("\0" in word for word in words):
            raise ValueError("a program's arguments cannot hold a NUL character")
        subject = "\0".join(words).encode("utf-8", "surrogateescape")
        return await self.run(wire.EXEC, subject, stdin=stdin, limits=limits)

    async def python(
        self, code: str | bytes, *, stdin: bytes = b"", limits: Limits | None = None
    ) -> ExecResult:
        """Run Python source in a fork of the worker, with /box on its path."""
        return await self.run(wire.PYTHON, encoded(code), stdin=stdin, limits=limits)

    async def read_file(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """Read a regular file, inside, without following any link."""
        reply = await self._move(wire.READ, checked_path(path), max_bytes=max_bytes)
        raise_for(reply.code, path)
        return reply.stdout

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a regular file, inside, in the place of whatever has its name."""
        subject = b"%o\0" % (mode & 0o777) + checked_path(path)
        raise_for((await self._move(wire.WRITE, subject, content)).code, path)

    async def snapshot(self, *, max_bytes: int = 64 << 20) -> bytes:
        """Return /box as a tar archive, made inside."""
        reply = await self._move(wire.SNAPSHOT, max_bytes=max_bytes)
        if reply.status is Status.OUTPUT_LIMIT:
            raise ValueError(f"/box is larger than {max_bytes} bytes")
        raise_for(reply.code, "/box")
        return reply.stdout

    async def restore(self, archive: bytes) -> None:
        """Put an archive in the place of /box, checked and unpacked inside."""
        reply = await self._move(wire.RESTORE, content=archive)
        if reply.code == errno.EBADMSG:
            said = reply.stderr.decode("utf-8", "replace")
            raise ValueError(f"the archive is refused: {said}")
        raise_for(reply.code, "/box")

    async def session(self, *, limits: Limits | None = None) -> Session:
        """Open a session."""
        limits = limits or self._box.default_limits
        reply = await self.ask(wire.OPEN, b"", limits)
        if reply.code:
            raise ValueError(reply.stdout.decode("ascii", "replace"))
        return WorkerSession(self, int(reply.stdout), limits)

    async def reset(self) -> bool:
        """Kill, wipe and compare with the start, inside; destroy it when in doubt."""
        return not self.lost and await self._box.reset()

    async def close(self) -> None:
        """Kill the worker and wait until nothing is left, unless it was given back."""
        if self._box.holder is self:
            await self._box.close()

    async def run(
        self,
        operation: bytes,
        subject: bytes,
        *,
        stdin: bytes = b"",
        limits: Limits | None = None,
        session: int = 0,
    ) -> ExecResult:
        """Run a program, or code in a session, by its number."""
        limits = limits or self._box.default_limits
        return await self._box.run(operation, subject, stdin, limits, holder=self, session=session)

    async def ask(
        self, operation: bytes, subject: bytes, limits: Limits, *, session: int = 0
    ) -> Reply:
        """Ask the worker for something that is no program."""
        return await self._box.ask(operation, subject, limits, holder=self, session=session)

    async def _move(
        self,
        operation: bytes,
        subject: bytes = b"",
        content: bytes = b"",
        *,
        max_bytes: int | None = None,
    ) -> Reply:
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}; expected 0 or more")
        return await self._box.move(operation, subject, content, max_bytes, holder=self)
