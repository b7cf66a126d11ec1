"""What a row must not change on this machine."""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

_SETTINGS = (
    *("kernel/core_pattern", "kernel/sysrq", "kernel/pid_max", "kernel/domainname"),
    *("vm/overcommit_memory", "vm/drop_caches", "user/max_user_namespaces", "fs/file-max"),
)
_CLOCK_S = 5.0  # clocks are also set by those who may


class Host(NamedTuple):
    """Facts that a program inside has no business with."""

    name: str
    settings: tuple[str, ...]
    """Of the kernel."""
    process: tuple[object, ...]
    """Priority, processors and limits of this process."""
    clock_s: float
    """The time of day, less the time since boot."""


def look() -> Host:
    """Return the facts as they are now."""
    own = tuple(Path("/proc/self", name).read_text() for name in ("limits", "oom_score_adj"))
    processors = tuple(sorted(os.sched_getaffinity(0)))
    return Host(
        name=socket.gethostname(),
        settings=tuple(_setting(name) for name in _SETTINGS),
        process=(os.getpriority(os.PRIO_PROCESS, 0), processors, *own),
        clock_s=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
    )


def differences(before: Host, after: Host) -> list[str]:
    """Say what is not as it was."""
    found = [
        f"{name}: {old!r} became {new!r}"
        for name, old, new in zip(_SETTINGS, before.settings, after.settings, strict=True)
        if old != new
    ]
    if before.name != after.name:
        found.append(f"the host is called {after.name!r} now")
    if before.process != after.process:
        found.append(f"this process: {before.process} became {after.process}")
    if abs(before.clock_s - after.clock_s) > _CLOCK_S:
        found.append(f"the clock was set by {after.clock_s - before.clock_s:.1f} s")
    return found


def processes_of(uid: str) -> list[int]:
    """Return the processes that run as a user, by all of its ids, the oldest first.

    Whoever kills them in this order kills a worker before it can tell how its program ended.
    """
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status.read_text():
                stat = (status.parent / "stat").read_text()
                found.append((int(stat.rpartition(")")[2].split()[19]), int(status.parent.name)))
    return [pid for _, pid in sorted(found)]


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text()
    except OSError as error:
        return type(error).__name__
