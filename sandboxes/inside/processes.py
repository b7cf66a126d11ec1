"""Every process of a sandbox but PID 1: ended and buried, except sessions, which are stopped."""

import _signal  # type: ignore[import-not-found]
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set


def end_all(keep: "Set[int]" = frozenset()) -> dict[int, int]:
    """Kill and reap every process but those to keep; return the wait status of each reaped one.

    Those to keep are stopped when this returns, unless they are among the reaped.
    """
    reaped: dict[int, int] = {}
    if not keep:
        _signal_all(_signal.SIGKILL)
        while _reap(reaped, 0):
            _signal_all(_signal.SIGKILL)
        return reaped
    while True:
        # Stopping all at once leaves no one to fork while the rest is killed one by one.
        _signal_all(_signal.SIGSTOP)
        others = _living_others(keep)
        for process in others:
            _end(process)
        while _reap(reaped, os.WNOHANG):
            pass
        if not others:
            return reaped


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
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll()
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def _living_others(keep: "Set[int]") -> list[int]:
    found = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in found if pid != 1 and pid not in keep and _lives(pid)]


def _lives(pid: int) -> bool:
    """Whether it is there and no zombie: a child of a stopped session is buried by it later."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False
