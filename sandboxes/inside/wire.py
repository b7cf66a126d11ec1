"""The framing between the host and PID 1 of a sandbox."""

import os
import struct

REQUEST = struct.Struct(">IcIdIQIIQQQII")
"""id, operation, session, wall_s, cpu_s, memory (0: counted outside), pids, open files, file
bytes, kept output, most output, length of the subject, length of the input. Then the two."""
REPLY = struct.Struct(">IBiQQddII")
"""id, status, exit code or signal, total stdout, total stderr, wall_s, cpu_s, length of stdout,
length of stderr. Then the two."""

EXITED, SIGNALED, TIMEOUT, OUTPUT_LIMIT = range(4)
SESSION_ENDED = 16
"""Added to the status where the session that was asked is no more."""

PYTHON, EXEC, READ, WRITE = b"P", b"X", b"R", b"W"
SNAPSHOT, RESTORE, RESET = b"A", b"U", b"Z"
OPEN, CALL, FORK, END = b"O", b"C", b"F", b"E"

_ends = [-1, -1]


class Request:
    """One request, by the names of its fields."""

    __slots__ = (
        "content",
        "content_size",
        "cpu_s",
        "file_bytes",
        "keep",
        "memory",
        "most",
        "number",
        "open_files",
        "operation",
        "pids",
        "session",
        "subject",
        "subject_size",
        "wall_s",
    )

    def __init__(self, header: "bytes | bytearray") -> None:
        (
            self.number,
            self.operation,
            self.session,
            self.wall_s,
            self.cpu_s,
            self.memory,
            self.pids,
            self.open_files,
            self.file_bytes,
            self.keep,
            self.most,
            self.subject_size,
            self.content_size,
        ) = REQUEST.unpack(header)
        self.subject = bytearray()
        self.content = bytearray()


def take_channel() -> int:
    """Move stdin and stdout out of the way of programs; return the end that hangs up."""
    os.closerange(3, 1 << 20)
    _ends[:] = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return _ends[0]


def receive_request() -> Request:
    """Wait for the next request, and leave when there will be none."""
    request = Request(_receive(REQUEST.size))
    request.subject = _receive(request.subject_size)
    request.content = _receive(request.content_size)
    return request


def _receive(size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = os.readv(_ends[0], [view])
        if not count:
            os._exit(0)
        view = view[count:]
    return data


def answer(request: Request, *, status: int = EXITED, code: int = 0, text: bytes = b"") -> None:
    """Send a reply that is no program's."""
    size = len(text)
    send(REPLY.pack(request.number, status, code, size, 0, 0.0, 0.0, size, 0), text)


def refuse(request: Request, error: OSError) -> None:
    """Say on stderr, as a program would, that none could be started."""
    said = b"no process can be started: %s\n" % os.strerror(error.errno or 0).encode()
    said = said[: request.keep]
    size = len(said)
    send(REPLY.pack(request.number, EXITED, error.errno or 1, 0, size, 0.0, 0.0, 0, size), said)


def send(*parts: "bytes | bytearray | memoryview") -> None:
    """Send all of it."""
    views = [memoryview(part) for part in parts if part]
    while views:
        count = os.writev(_ends[1], views[:64])
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if views:
            views[0] = views[0][count:]
