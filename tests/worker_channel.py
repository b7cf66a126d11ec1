"""A channel to a worker that there is not, for tests of this side of it."""

import asyncio

from agentgym.sandboxes.inside import wire


class Answering:
    """A channel to a worker that answers every request at once, and knows no programs."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[bytes] = asyncio.Queue()
        self.deaf = False

    async def send(self, data: bytes) -> None:
        request = wire.Request(data[: wire.REQUEST.size])
        code = 1 if request.operation == wire.RESET else 0
        reply = wire.REPLY.pack(request.number, wire.EXITED, code, 0, 0, 0.0, 0.0, 0, 0)
        self.replies.put_nowait(b"" if self.deaf else reply)

    async def receive(self) -> bytes:
        return await self.replies.get()

    def peek(self) -> bytes | None:
        return None

    def hang_up(self) -> None:
        self.replies.put_nowait(b"")

    def close(self) -> None:
        pass
