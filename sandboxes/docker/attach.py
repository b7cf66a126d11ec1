"""The channel to a worker in a container: one socket on which the engine mixes both outputs."""

import asyncio
import contextlib
import socket
import struct

_FRAME = struct.Struct(">BxxxI")
"""Stream (1: stdout, 2: stderr), length. Then that many bytes."""
_STDOUT, _STDERR = 1, 2
_KEPT = 4096
_READ = 1 << 18


class AttachedChannel:
    """A hijacked connection to the engine: what is sent is stdin, what comes is in frames.

    Nothing is kept of a frame but what is left of it, so that no length does any harm.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._header = bytearray()
        self._stream = _STDOUT
        self._left = 0
        self.complaint = b""
        """The end of what came on stderr: what the interpreter says when it cannot start."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return what the worker wrote; empty when it ended."""
        while True:
            try:
                data = await asyncio.get_running_loop().sock_recv(self._socket, _READ)
            except ConnectionError:
                return b""
            stdout = self._unpack(data)
            if stdout or not data:
                return stdout

    def peek(self) -> bytes | None:
        """Return what has come, or None."""
        while True:
            try:
                data = self._socket.recv(_READ)
            except BlockingIOError:
                return None
            stdout = self._unpack(data)
            if stdout or not data:
                return stdout

    def hang_up(self) -> None:
        """Wake whoever waits."""
        with contextlib.suppress(OSError):  # the engine was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket: stdin of the container ends, and with it the worker."""
        self._socket.close()

    def _unpack(self, data: bytes) -> bytes:
        """Return what of this is stdout."""
        rest = memoryview(data)
        parts = []
        while rest:
            if not self._left:
                missing = _FRAME.size - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                if len(self._header) == _FRAME.size:
                    self._stream, self._left = _FRAME.unpack(self._header)
                    self._header.clear()
                continue
            part, rest = rest[: self._left], rest[self._left :]
            self._left -= len(part)
            if self._stream == _STDOUT:
                parts.append(part)
            elif self._stream == _STDERR:
                self.complaint = (self.complaint + bytes(part))[-_KEPT:]
        return b"".join(parts)
