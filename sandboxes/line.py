"""Requests to a worker and its replies.

Whatever comes from inside is bounded before it is read and parsed as fixed binary fields. Any
violation, any missing answer and any cancelled call ends the sandbox.
"""

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from agentgym.errors import SandboxDied, SandboxProtocolError
from agentgym.sandbox import Limits, Status
from agentgym.sandboxes.channel import Channel
from agentgym.sandboxes.inside import wire

_OUTER_S = 2.0  # the worker ends a program at its deadline; without an answer we end both
_MOST_SENT = 1 << 30
_STATUSES = (Status.EXITED, Status.SIGNALED, Status.TIMEOUT, Status.OUTPUT_LIMIT)


class Reply(NamedTuple):
    """What a worker said of one call."""

    status: Status
    session_ended: bool
    code: int
    """Exit code, or signal where SIGNALED."""
    stdout_total: int
    stderr_total: int
    wall_s: float
    cpu_s: float
    stdout: bytes
    stderr: bytes


class Line:
    """One conversation with one worker; requests take turns."""

    def __init__(self, name: str, channel: Channel, *, destroy: Callable[[], None]) -> None:
        self._name = name
        self._channel = channel
        self._destroy = destroy
        self._numbers = itertools.count(1)
        self._busy = False
        self._closed = False

    async def greeting(self) -> Reply:
        """Wait for what a worker says when it is ready.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, or broke the framing.
        """
        return await self._receive(0, Limits(keep_output_bytes=64))

    async def call(
        self,
        operation: bytes,
        subject: bytes,
        content: bytes,
        limits: Limits,
        *,
        session: int = 0,
        count_memory: bool,
    ) -> Reply:
        """Send one request and await its reply; destroy the sandbox unless it is a good one.

        `count_memory`: the worker limits memory, for nothing outside does.

        Raises:
            ValueError: it is too much to send.
            TimeoutError: the worker did not keep the deadline.
            SandboxDied, SandboxProtocolError: it is gone, or broke the framing.
        """
        if self._closed:
            raise SandboxDied(f"{self._name} is destroyed")
        if len(subject) + len(content) > _MOST_SENT:
            raise ValueError(
                f"{len(subject) + len(content)} bytes are too many: a sandbox takes "
                f"{_MOST_SENT} in one call"
            )
        number = next(self._numbers) & 0xFFFFFFFF
        header = wire.REQUEST.pack(
            number,
            operation,
            session,
            limits.wall_s,
            math.ceil(limits.cpu_s),
            limits.memory_bytes if count_memory else 0,
            limits.pids,
            limits.open_files,
            limits.file_bytes,
            limits.keep_output_bytes,
            limits.max_output_bytes,
            len(subject),
            len(content),
        )
        self._busy = True
        try:
            self.expect_silence()
            async with asyncio.timeout(limits.wall_s + _OUTER_S):
                await self._channel.send(header + subject + content)
                return await self._receive(number, limits)
        except BaseException as error:
            self._destroy()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise SandboxDied(f"{self._name} died: {error}") from error
            raise
        finally:
            self._busy = False
            if self._closed:
                self._channel.close()

    def expect_silence(self) -> None:
        """Check that nothing came: a worker speaks when it is asked, and not before.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, or spoke.
        """
        data = self._channel.peek()
        if data:
            raise SandboxProtocolError(f"{self._name} sent something it was not asked for")
        if data is not None:
            raise SandboxDied(f"{self._name} died")

    def close(self) -> None:
        """Hang up. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._busy:  # whoever waits for an answer closes it
            self._channel.hang_up()
        else:
            self._channel.close()

    async def _receive(self, number: int, limits: Limits) -> Reply:
        header = wire.REPLY.size
        data = bytearray()
        size = header
        while len(data) < size:
            chunk = await self._channel.receive()
            if not chunk:
                raise SandboxDied(f"{self._name} died")
            data += chunk
            if size == header and len(data) >= header:
                size = header + self._check_header(data[:header], number, limits)
        if len(data) > size:
            raise SandboxProtocolError(f"{self._name} sent more than a reply")
        _, flags, code, out_total, err_total, wall_s, cpu_s, out, _ = wire.REPLY.unpack(
            data[:header]
        )
        status = _STATUSES[flags & ~wire.SESSION_ENDED]
        ended = bool(flags & wire.SESSION_ENDED)
        stdout, stderr = bytes(data[header : header + out]), bytes(data[header + out :])
        return Reply(status, ended, code, out_total, err_total, wall_s, cpu_s, stdout, stderr)

    def _check_header(self, header: bytearray, number: int, limits: Limits) -> int:
        """Return how much follows; a broken header is refused before anything is kept."""
        answered, flags, _, out_total, err_total, *_, out, err = wire.REPLY.unpack(header)
        keep = limits.keep_output_bytes
        is_known = flags & ~wire.SESSION_ENDED < len(_STATUSES)
        if answered != number or not is_known or out > min(keep, out_total):
            raise SandboxProtocolError(f"{self._name} sent a broken reply")
        if err > min(keep, err_total):
            raise SandboxProtocolError(f"{self._name} sent a broken reply")
        return int(out + err)


def encoded(code: str | bytes) -> bytes:
    """Return source as the bytes that are sent."""
    return code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code
