"""What a row must not change on this machine."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agentgym.sandboxes.owners import is_gone, owner_name, parent, start_time

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


def own_namespace() -> str:
    """Return the pid namespace of this process."""
    return os.readlink("/proc/self/ns/pid")


def open_namespace(mark: str) -> int | None:
    """Open the pid namespace of who has a secret on its command line; None: nobody is seen.

    While it is open no other one gets its name.
    """
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in file.read_bytes():
                return os.open(file.with_name("ns") / "pid", os.O_RDONLY | os.O_CLOEXEC)
    return None


def named(pids: Iterable[int]) -> set[str]:
    """Name processes so that no later one is taken for any of them."""
    return {owner_name(pid) for pid in pids}


def living(names: Iterable[str]) -> list[str]:
    """Return the names of those that are still there, and no zombies."""
    return [each for each in names if not is_gone(f"{each}.") and lives(int(each.split("-")[0]))]


def processes_in(namespace: str) -> list[int]:
    """Return the living processes of a pid namespace, the oldest first."""
    found = [pid for pid in _all_processes() if _namespace(pid) == namespace and lives(pid)]
    return sorted(found, key=start_time)


def tell(namespace: str, number: signal.Signals) -> None:
    """Send a signal to each process of a pid namespace that is not ours, the oldest first.

    Whoever kills them in this order kills a worker before it can tell how its program ended.
    """
    if namespace == own_namespace():
        raise ValueError("these are the processes of this machine, not of a sandbox")
    for pid in processes_in(namespace):
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                if _namespace(pid) == namespace:  # asked again, now that the number is held
                    signal.pidfd_send_signal(process, number)
            finally:
                os.close(process)


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, its children first."""
    parents = {each: parent(each) for each in _all_processes()}
    found = [pid]
    for above in found:
        found += [each for each, by in parents.items() if by == above]
    return found[1:]


def users_of(pid: int) -> set[str]:
    """Return the ids by which the kernel knows the user of a process; none: it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return set(line.split()[1:])
    return set()


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _namespace(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return None


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text()
    except OSError as error:
        return type(error).__name__
