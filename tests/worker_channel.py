"""A channel to a worker that there is not, for tests of this side of it."""

import asyncio

from agentgym.sandboxes.inside import wire


class Answering:
    """A channel to a worker that answers every request at once, and knows no programs."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[bytes] = asyncio.Queue()
        self.deaf = False
        """It dies when it is asked anything."""
        self.deaf_to: bytes | None = None
        """An operation, when it is asked which it dies."""
        self.is_slow = False
        """It answers nothing."""
        self.asked: list[tuple[bytes, int]] = []
        """Operations, and for which session."""
        self.words = b""
        """Stdout of every answer."""
        self.cpu_s = 0.0
        """That every program took."""

    async def send(self, data: bytes) -> None:
        request = wire.Request(data[: wire.REQUEST.size])
        self.asked.append((request.operation, request.session))
        code = 1 if request.operation == wire.RESET else 0
        size = len(self.words)
        sizes = size, 0, 0.0, self.cpu_s, size, 0
        reply = wire.REPLY.pack(request.number, wire.EXITED, code, *sizes) + self.words
        is_deaf = self.deaf or request.operation == self.deaf_to
        if not self.is_slow:
            self.replies.put_nowait(b"" if is_deaf else reply)

    async def receive(self) -> bytes:
        return await self.replies.get()

    def peek(self) -> bytes | None:
        return None

    def hang_up(self) -> None:
        self.replies.put_nowait(b"")

    def close(self) -> None:
        pass
