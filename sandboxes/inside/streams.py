"""Output of programs: drained while they run, and kept in part."""

import _ctypes
import os
import select
import time

from agentgym.sandboxes.inside.wire import EXITED, OUTPUT_LIMIT, REPLY, SIGNALED, TIMEOUT, send

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would take longer to import than everything above
    from collections.abc import Callable

    from agentgym.sandboxes.inside.wire import Request

_CHUNK = 65536
_MUCH = 4 << 20
_chunk = bytearray(_CHUNK)
_passed = [0]  # bytes, since memory was last given back


class Kept:
    """The first `head` and the last `tail` bytes of a stream, and how many there were.

    Nothing is copied to anywhere else, so that `forget` finds all of it.
    """

    def __init__(self, head: int, tail: int) -> None:
        self.total = 0
        self._num_head = head
        self._num_tail = tail
        self._head: list[bytearray] = []
        self._tail = bytearray()  # a ring, made when it is needed

    def read(self, fd: int) -> int:
        """Take what one read gives and return how much it was."""
        count = os.readv(fd, [_chunk])
        rest = memoryview(_chunk)[:count]
        while rest and self.total < self._num_head:
            place = self._place(len(rest))
            place[:] = rest[: len(place)]
            rest = rest[len(place) :]
            self.total += len(place)
        self._turn(rest)
        return count

    def parts(self) -> "list[memoryview]":
        """What is kept, in order."""
        left = min(self.total, self._num_head)
        parts = []
        for chunk in self._head:
            parts.append(memoryview(chunk)[:left])
            left -= len(parts[-1])
        tail = memoryview(self._tail)
        count = max(0, self.total - self._num_head)
        if count <= len(tail):
            return [*parts, tail[:count]]
        at = count % len(tail) if tail else 0
        return [*parts, tail[at:], tail[:at]]

    @property
    def buffers(self) -> "list[bytearray]":
        """All that holds it."""
        return [*self._head, self._tail]

    def _place(self, size: int) -> memoryview:
        """Where the next bytes of the head go; at most `size`."""
        at = self.total % _CHUNK
        if at == 0:
            self._head.append(bytearray(min(_CHUNK, self._num_head - self.total)))
        return memoryview(self._head[-1])[at : at + size]

    def _turn(self, rest: memoryview) -> None:
        if rest and not self._tail:
            self._tail = bytearray(self._num_tail)
        start = self.total - self._num_head
        self.total += len(rest)
        skipped = max(0, len(rest) - len(self._tail))
        rest = rest[skipped:]
        if not rest:
            return
        at = (start + skipped) % len(self._tail)
        tail = memoryview(self._tail)
        place = tail[at : at + len(rest)]
        place[:] = rest[: len(place)]
        left = rest[len(place) :]
        tail[: len(left)] = left


def forget(*buffers: bytearray) -> None:
    """Overwrite what passed through: forks of this memory run programs of other episodes."""
    for buffer in (*buffers, _chunk):
        memoryview(buffer)[:] = bytes(len(buffer))
        _passed[0] += len(buffer)


def give_back() -> None:
    """Return freed memory to the kernel after much went through: the sandbox is charged for it."""
    if _passed[0] < _MUCH:
        return
    _passed[0] = 0
    try:
        trim = _ctypes.dlsym(_ctypes.dlopen(None, 0), "malloc_trim")  # type: ignore[arg-type]
    except OSError:  # another C library, which does so by itself or not at all
        return
    _ctypes.call_function(trim, (0,))


class Watch:
    """Moves bytes until something says that the program is done, or until the deadline."""

    def __init__(self, channel: int) -> None:
        self._poll = select.poll()
        self._poll.register(channel, 0)  # no events: reports the hang-up only
        self._handlers: dict[int, Callable[[], int | None]] = {channel: _leave}
        self._owned: set[int] = set()

    def add(self, fd: int, events: int, handler: "Callable[[], int | None]") -> None:
        """Call `handler` when `fd` is ready; what it returns, unless None, is the verdict."""
        self._poll.register(fd, events)
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Look at it no more."""
        self._poll.unregister(fd)
        del self._handlers[fd]

    def add_output(self, fd: int, kept: Kept, most: int) -> None:
        """Keep what comes; more than `most` is a verdict."""

        def read() -> "int | None":
            if not kept.read(fd):
                self.remove(fd)
            return OUTPUT_LIMIT if kept.total > most else None

        self.add(fd, select.POLLIN, read)

    def add_input(self, fd: int, content: "bytes | bytearray", *, close: bool) -> None:
        """Feed a program that may never read."""
        left = [memoryview(content)]
        os.set_blocking(fd, False)
        if close:
            self._owned.add(fd)

        def feed() -> None:
            try:
                left[0] = left[0][os.write(fd, left[0]) :]
            except BlockingIOError:
                return
            except OSError:  # nobody will read the rest
                left[0] = left[0][:0]
            if not left[0]:
                self.remove(fd)
                if close:
                    self._owned.remove(fd)
                    os.close(fd)

        self.add(fd, select.POLLOUT, feed)

    def run(self, deadline: float) -> int:
        """Return the first verdict; TIMEOUT when there was none in time."""
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return TIMEOUT
            for fd, _ in self._poll.poll(int(left_s * 1000) + 1):
                handler = self._handlers.get(fd)
                verdict = handler() if handler else None
                if verdict is not None:
                    return verdict

    def close(self) -> None:
        """Stop feeding, and let go of what refers back: nobody collects cycles here."""
        for fd in self._owned:
            os.close(fd)
        self._handlers.clear()


def ended() -> int:
    """Say that the program has ended: for the descriptor of its process."""
    return EXITED


class Streams:
    """Stdout and stderr of one program, while it runs and when it has ended."""

    def __init__(self, out: int, err: int, request: "Request") -> None:
        # What a file or an archive comes to is no more than `most`, and all of it is wanted.
        head = request.keep // 2 if request.keep < request.most else request.keep
        self.out = Kept(head, request.keep - head)
        self.err = Kept(head, request.keep - head)
        self._fds = ((out, self.out), (err, self.err))
        self._request = request
        self._began = time.monotonic()

    def run(self, watch: Watch) -> int:
        """Drain both until there is a verdict."""
        for fd, kept in self._fds:
            watch.add_output(fd, kept, self._request.most)
        verdict = watch.run(self._began + self._request.wall_s)
        watch.close()
        return verdict

    def finish(self, verdict: int) -> int:
        """Take what is left, now that nothing runs; return the last verdict."""
        for fd, kept in self._fds:
            _drain(fd, kept, self._request.most)
        if verdict == EXITED and max(self.out.total, self.err.total) > self._request.most:
            return OUTPUT_LIMIT
        return verdict

    def report(self, verdict: int, code: int, *, cpu_s: float, flags: int = 0) -> None:
        """Answer; then forget what passed through."""
        wall_s = time.monotonic() - self._began
        request = self._request
        if verdict == EXITED and code < 0:
            verdict, code = SIGNALED, -code
        totals = self.out.total, self.err.total
        sizes = (min(total, request.keep) for total in totals)
        header = REPLY.pack(request.number, verdict | flags, code, *totals, wall_s, cpu_s, *sizes)
        send(header, *self.out.parts(), *self.err.parts())
        forget(request.subject, request.content, *self.out.buffers, *self.err.buffers)


def _drain(fd: int, kept: Kept, most: int) -> None:
    """Take what is left in a pipe whose writers are all dead, or stopped."""
    os.set_blocking(fd, False)
    try:
        while kept.total <= most and kept.read(fd):
            pass
    except BlockingIOError:
        pass


def _leave() -> None:
    os._exit(0)
