"""The host's end of a session."""

import contextlib
from typing import TYPE_CHECKING

from agentgym.errors import SandboxError
from agentgym.sandbox import ExecResult, Limits, Session
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.line import encoded

if TYPE_CHECKING:
    from agentgym.sandboxes.box import WorkerSandbox


class WorkerSession(Session):
    """A session, by the number that the worker knows it by."""

    def __init__(self, sandbox: "WorkerSandbox", number: int, limits: Limits) -> None:
        self.sandbox: WorkerSandbox = sandbox
        self.ended = False
        self._number = number
        self._limits = limits

    async def python(self, code: str | bytes, *, limits: Limits | None = None) -> ExecResult:
        """Run code where the last call left off."""
        self._check()
        result = await self.sandbox.run_in_session(
            self._number, encoded(code), limits or self._limits
        )
        self.ended = result.session_ended or result.sandbox_lost
        return result

    async def fork(self, k: int = 1) -> list[Session]:
        """Copy it `k` times."""
        self._check()
        if k < 1:
            raise ValueError(f"{k} copies cannot be made")
        reply = await self.sandbox.ask(wire.FORK, b"%d" % k, self._limits, session=self._number)
        said = reply.stdout.decode("ascii", "replace")
        if reply.code:
            raise ValueError(f"the session cannot be forked: {said}")
        return [WorkerSession(self.sandbox, int(each), self._limits) for each in said.split()]

    async def close(self) -> None:
        """End it, unless it has ended."""
        if self.ended or self.sandbox.lost:
            return
        self.ended = True
        with contextlib.suppress(SandboxError):  # what is destroyed has no sessions
            await self.sandbox.ask(wire.END, b"", self._limits, session=self._number)

    def _check(self) -> None:
        if self.ended:
            raise ValueError("the session has ended; open another one")
