"""The host's end of a session."""

import contextlib
from typing import TYPE_CHECKING

from agentgym.errors import SandboxError
from agentgym.sandbox import ExecResult, Limits, Session
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.line import encoded

if TYPE_CHECKING:
    from agentgym.sandboxes.leased import LeasedSandbox

_MOST_COPIES = 1 << 16  # that are asked for: the worker refuses fewer, and says how many


class WorkerSession(Session):
    """A session, by the number that the worker knows it by."""

    def __init__(self, sandbox: "LeasedSandbox", number: int, limits: Limits) -> None:
        self.sandbox: LeasedSandbox = sandbox
        self.ended = False
        self._number = number
        self._limits = limits

    async def python(self, code: str | bytes, *, limits: Limits | None = None) -> ExecResult:
        """Run code where the last call left off."""
        self._check()
        result = await self.sandbox.run(
            wire.CALL, encoded(code), limits=limits or self._limits, session=self._number
        )
        self.ended = result.session_ended or result.sandbox_lost
        return result

    async def fork(self, k: int = 1) -> list[Session]:
        """Copy it `k` times."""
        self._check()
        if k < 1:
            raise ValueError(f"{k} copies cannot be made")
        wanted = b"%d" % min(k, _MOST_COPIES)
        reply = await self.sandbox.ask(wire.FORK, wanted, self._limits, session=self._number)
        said = reply.stdout.decode("ascii", "replace")
        self.ended = reply.session_ended
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
