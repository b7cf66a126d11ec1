"""The host's end of what a worker reads and writes."""

import asyncio
import socket
from typing import Protocol


class Channel(Protocol):
    """Bytes to a worker and from it, in order."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    async def receive(self) -> bytes:
        """Return what came, as soon as there is some; empty when there will be no more."""
        ...

    def peek(self) -> bytes | None:
        """Return what has come, without waiting; None: nothing has."""
        ...

    def hang_up(self) -> None:
        """End both directions; whoever waits in them is woken."""
        ...

    def close(self) -> None:
        """Let go of it. Idempotent."""
        ...


class SocketChannel:
    """One end of a socket whose other end is the worker's stdin and stdout."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return what came; empty when it ended, be it before it had read everything."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, 1 << 18)
        except ConnectionError:
            return b""

    def peek(self) -> bytes | None:
        """Return what has come, or None."""
        try:
            return self._socket.recv(1)
        except BlockingIOError:
            return None

    def hang_up(self) -> None:
        """Wake whoever waits."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


async def converse(channel: Channel, data: bytes, *, max_bytes: int) -> bytes:
    """Send all of this, return all that comes, and close."""
    output = b""
    try:
        await channel.send(data)
        while len(output) < max_bytes and (chunk := await channel.receive()):
            output += chunk
    except ConnectionError:  # it ended before it had read all
        pass
    finally:
        channel.close()
    return output
