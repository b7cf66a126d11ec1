"""Every process of a sandbox but PID 1: ended and buried, except sessions, which are stopped."""

import _signal  # type: ignore[import-not-found]
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set

_STAND_S = 1.0  # until it is killed


def end_all(keep: "Set[int]" = frozenset()) -> dict[int, int]:
    """Kill and reap every process but those to keep; return the wait status of each reaped one.

    Those to keep stand still when this returns, unless they are among the reaped; one that does
    not come to a stand is killed.
    """
    reaped: dict[int, int] = {}
    if not keep:
        _signal_all(_signal.SIGKILL)
        while _reap(reaped, 0):
            _signal_all(_signal.SIGKILL)
        return reaped
    deadline = time.monotonic() + _STAND_S
    while True:
        # Stopping all at once leaves no one to fork while the rest is killed one by one.
        _signal_all(_signal.SIGSTOP)
        others = _living_others(keep)
        for process in others:
            _end(process)
        while _reap(reaped, os.WNOHANG):
            pass
        if others:
            continue
        restless = _restless(keep - reaped.keys())
        if not restless:
            return reaped
        if time.monotonic() > deadline:
            keep = keep - restless
        os.sched_yield()


def count() -> int:
    """Return how many processes there are, PID 1 and the dead that nobody buried included."""
    return sum(name.isdigit() for name in os.listdir("/proc"))


def parent(pid: int) -> int:
    """Return the parent of a process.

    Raises:
        OSError: there is no such process.
    """
    return int(_field(_status(b"/proc/%d/status" % pid), b"PPid"))


def _signal_all(number: int) -> None:
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        pass


def _reap(reaped: dict[int, int], options: int) -> bool:
    try:
        pid, status = os.waitpid(-1, options)
    except ChildProcessError:
        return False
    if pid:
        reaped[pid] = status
    return pid != 0


def _end(process: int) -> None:
    """Kill it and wait until it is dead; whoever its parent is buries it."""
    try:
        fd = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        os.kill(process, _signal.SIGKILL)
        _is_dead(fd, wait_ms=None)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def _living_others(keep: "Set[int]") -> list[int]:
    found = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in found if pid != 1 and pid not in keep and _lives(pid)]


def _lives(pid: int) -> bool:
    """Whether any thread of it does: its first may have left, so that it looks like a zombie."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not _is_dead(fd, wait_ms=0)
    finally:
        os.close(fd)


def _is_dead(process: int, *, wait_ms: "int | None") -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(wait_ms))


def _restless(pids: "Set[int]") -> "set[int]":
    """Return those that do not stand still.

    Two that send each other SIGCONT in turns may both look stopped when they are looked at one
    after the other. Who ran in between was switched once more: where all of them are stopped
    at two looks, with the same count, there was a moment at which nobody could wake anybody.
    """
    first = {pid: _standstill(pid) for pid in pids}
    return {pid for pid in pids if first[pid] is None or _standstill(pid) != first[pid]}


def _standstill(pid: int) -> "bytes | None":
    """Return how often its threads were switched, if all of them are stopped, or dead."""
    try:
        status = _status(b"/proc/%d/status" % pid)
        if _field(status, b"Threads") == b"1":
            return _switches(status)
        tasks = b"/proc/%d/task" % pid
        threads = [_switches(_status(b"%s/%s/status" % (tasks, t))) for t in os.listdir(tasks)]
        return None if None in threads else b" ".join(each or b"" for each in threads)
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _switches(thread: bytes) -> "bytes | None":
    if _field(thread, b"State")[:1] not in b"TZX":
        return None
    return thread[thread.rindex(b"\nvoluntary_ctxt_switches:") :]  # both; the rest is constant


def _field(status: bytes, name: bytes) -> bytes:
    at = status.index(b"\n%s:\t" % name) + len(name) + 3
    return status[at : status.index(b"\n", at)]


def _status(path: bytes) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
