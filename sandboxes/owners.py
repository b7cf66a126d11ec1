"""Processes that own what may outlive them, named so that no other ever has the same name."""

import contextlib
import os
import re
import time
from pathlib import Path

_LATE_S = 24 * 3600
_PARENT, _START = 1, 19  # of the fields of /proc/PID/stat from the third on


def owner_name(pid: int) -> str:
    """Name a process: its pid, which is used again, when it started, and who counts the pids."""
    return f"{pid}-{start_time(pid)}-{numbering()}"


def is_gone(name: str) -> bool | None:
    """Whether the process has ended with whose name this begins, before a dot.

    None: it is numbered elsewhere, as in another container, and nobody here knows.
    """
    match = re.match(r"(\d+)-(\d+)-(\d+)\.", name)
    if match is None:
        return False
    if int(match[3]) != numbering():
        return None
    return start_time(int(match[1])) != int(match[2])


def is_left(path: Path, *, prefix: str = "") -> bool:
    """Whether what is named after its owner has none: that is gone, or unknown for a day."""
    gone = is_gone(path.name.removeprefix(prefix))
    if gone is None:
        with contextlib.suppress(OSError):
            gone = path.stat().st_mtime < time.time() - _LATE_S
    return bool(gone)


def numbering() -> int:
    """Return what tells the numbering of processes that we see, a pid namespace, from others."""
    return os.stat("/proc/self/ns/pid").st_ino


def start_time(pid: int) -> int:
    """Return the clock ticks from boot to the start of a process; 0 where there is none."""
    fields = _stat(pid)
    return int(fields[_START]) if fields else 0


def parent(pid: int) -> int | None:
    """Return the parent of a process; None: it is gone."""
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else None


def age_s(pid: int) -> float | None:
    """Return how long ago a process started; None: it is gone."""
    fields = _stat(pid)
    if not fields:
        return None
    started = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold anything."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
