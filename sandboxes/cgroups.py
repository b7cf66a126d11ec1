"""Control groups: exact limits on memory, processes and CPU for a tree of processes.

Version 2 and version 1 are used where this process may make groups; elsewhere there are only
rlimits. Groups stand under `agentgym/` and carry their owner's process in their name, so that
what a killed owner left is found.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

_PARENT = "agentgym"
_LEAF = "agentgym-host"
_PERIOD_US = 100_000
_NEEDED = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where groups can be made here."""

    version: Literal[1, 2]
    roots: dict[str, Path]
    """Controller -> the folder `agentgym` of its hierarchy; one folder for all in version 2."""

    @property
    def name(self) -> str:
        """`cgroup1` or `cgroup2`."""
        return f"cgroup{self.version}"

    @property
    def folders(self) -> list[Path]:
        """Each folder that holds groups, once."""
        return list(dict.fromkeys(self.roots.values()))

    @property
    def home(self) -> "Group":
        """A group without limits, for the processes that start sandboxes."""
        return self.create("spawners")

    def create(self, name: str) -> "Group":
        """Make an empty group."""
        group = Group(self.version, {kind: root / name for kind, root in self.roots.items()})
        for folder in group.folders:
            folder.mkdir(exist_ok=True)
        return group

    def weigh(self) -> None:
        """Let the sandboxes together count as several processes; a group counts as one."""
        file, unit, most = (("cpu.shares", 1024, 262144), ("cpu.weight", 100, 10000))[
            self.version - 1
        ]
        _write(self.roots["cpu"] / file, min(unit * 2 * (os.cpu_count() or 1), most))


@dataclass(slots=True)
class Group:
    """One group: the limits and counters of one sandbox."""

    version: Literal[1, 2]
    paths: dict[str, Path]
    is_ours: bool = True
    """Its limits can be changed; else only its counters be read."""

    @property
    def folders(self) -> list[Path]:
        """Each folder of this group, once."""
        return list(dict.fromkeys(self.paths.values()))

    @property
    def join_files(self) -> list[str]:
        """A process that writes 0 to each of these moves itself here.

        Version 1 moves one thread: moving a whole process waits for an RCU grace period (3 ms).
        """
        return [str(path / ("tasks", "cgroup.procs")[self.version - 1]) for path in self.folders]

    def limit(self, *, memory_bytes: int, pids: int, cpus: float) -> None:
        """Set the limits.

        Raises:
            OSError: the group is gone, or holds more memory than that.
        """
        quota = int(cpus * _PERIOD_US)
        if self.version == 2:
            self._limit_v2(memory_bytes, quota)
        else:
            self._limit_v1(memory_bytes, quota)
        _write(self.paths["pids"] / "pids.max", pids)

    @property
    def counter_files(self) -> tuple[str, str | None]:
        """Where kills for want of memory are counted, and where CPU time is, if it is."""
        if self.version == 2:
            return f"{self.paths['memory']}/memory.events", f"{self.paths['cpu']}/cpu.stat"
        cpu = self.paths.get("cpuacct")
        return f"{self.paths['memory']}/memory.oom_control", f"{cpu}/cpuacct.usage" if cpu else None

    def remove(self) -> None:
        """Remove the group, if nothing runs in it."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _limit_v1(self, memory_bytes: int, quota: int) -> None:
        with_swap = self.paths["memory"] / "memory.memsw.limit_in_bytes"
        if with_swap.exists():  # it may never be below the limit without swap
            _write(with_swap, -1)
        _write(self.paths["memory"] / "memory.limit_in_bytes", memory_bytes)
        if with_swap.exists():
            _write(with_swap, memory_bytes)
        _write(self.paths["cpu"] / "cpu.cfs_quota_us", quota)

    def _limit_v2(self, memory_bytes: int, quota: int) -> None:
        swap = self.paths["memory"] / "memory.swap.max"
        if swap.exists():
            _write(swap, 0)
        _write(self.paths["memory"] / "memory.max", memory_bytes)
        _write(self.paths["cpu"] / "cpu.max", f"{quota} {_PERIOD_US}")


def owner_name(pid: int) -> str:
    """Name a process beyond its pid, which is used again: pid and start time."""
    return f"{pid}-{_start_time(pid)}"


def detect() -> Cgroups | None:
    """Find out what this process may use; None: neither version."""
    if not Path("/proc/self/mountinfo").exists():  # not Linux
        return None
    v1, v2 = _mounts(Path("/proc/self/mountinfo").read_text())
    own = _own_group(Path("/proc/self/cgroup").read_text())
    found = (_detect_v2(v2, v2 / own) if v2 else None) or _detect_v1(v1)
    if found:
        reap(found.folders)
        found.weigh()
    return found


def reap(folders: Iterable[Path]) -> list[str]:
    """Remove the groups of owners that are gone from folders of groups; return their names."""
    removed = set()
    for path in [path for folder in folders for path in folder.iterdir()]:
        if path.is_dir() and is_abandoned(path.name):
            with contextlib.suppress(OSError):  # another process was faster, or it is not empty
                path.rmdir()
                removed.add(path.name)
    return sorted(removed)


def of_process(pid: int, name: str) -> Group | None:
    """Return the group that somebody else made for a process on this machine.

    `name` is part of the group's own: that a process has this number here need not mean that it
    is the one that is meant.
    """
    try:
        v1, v2 = _mounts(Path("/proc/self/mountinfo").read_text())
        places = _places(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return None
    if v2 and "memory" not in places:
        group = Group(2, dict.fromkeys(_NEEDED, _below(v2, places.get("", ""))))
    else:
        kinds = [kind for kind in (*_NEEDED, "cpuacct") if kind in v1 and kind in places]
        group = Group(1, {kind: _below(v1[kind], places[kind]) for kind in kinds})
    if not all(kind in group.paths and name in group.paths[kind].name for kind in _NEEDED):
        return None
    files = [path / "cgroup.procs" for path in group.folders]
    group.is_ours = all(os.access(file, os.W_OK) for file in files)
    return group if all(file.exists() for file in files) else None


def tops(*parents: str) -> list[Path]:
    """Return the folders of these names at the top of a hierarchy, or in what is delegated to us."""
    if not Path("/proc/self/mountinfo").exists():
        return []
    v1, v2 = _mounts(Path("/proc/self/mountinfo").read_text())
    own = _own_group(Path("/proc/self/cgroup").read_text())
    mounts = dict.fromkeys([*v1.values(), *([v2, v2 / own] if v2 else [])])
    return [path for mount in mounts for name in parents if (path := mount / name).is_dir()]


def _places(cgroup: str) -> dict[str, str]:
    """Return where a process is by controller; "" stands for all of version 2."""
    rows = (line.split(":", 2) for line in cgroup.splitlines())
    return {kind: path for _, kinds, path in rows for kind in kinds.split(",")}


def _below(mount: Path, place: str) -> Path:
    return mount / place.lstrip("/")


def _detect_v1(mounts: dict[str, Path]) -> Cgroups | None:
    if not all(kind in mounts for kind in _NEEDED):
        return None
    kinds = [kind for kind in (*_NEEDED, "cpuacct") if kind in mounts]
    roots = {kind: mounts[kind] / _PARENT for kind in kinds}
    try:
        for root in roots.values():
            root.mkdir(exist_ok=True)
            if not os.access(root, os.W_OK):
                return None
    except OSError as error:
        logger.debug("no cgroup v1: %s", error)
        return None
    return Cgroups(1, roots)


def _detect_v2(mount: Path, own: Path) -> Cgroups | None:
    """Try the top of the hierarchy, which root has, then our own group, which may be delegated."""
    for base in dict.fromkeys((mount, own)):
        try:
            _delegate(base, may_move=base == own)
            root = base / _PARENT
            root.mkdir(exist_ok=True)
            _delegate(root, may_move=False)
        except OSError as error:
            logger.debug("no cgroup v2 under %s: %s", base, error)
            continue
        return Cgroups(2, dict.fromkeys(_NEEDED, root))
    return None


def _delegate(group: Path, *, may_move: bool) -> None:
    """Hand the controllers down to children; processes of the group must move to a leaf first."""
    available = (group / "cgroup.controllers").read_text().split()
    if not all(kind in available for kind in _NEEDED):
        raise OSError(errno.ENOENT, f"controllers here: {available}")
    control = group / "cgroup.subtree_control"
    text = " ".join(f"+{kind}" for kind in _NEEDED)
    try:
        _write(control, text)
    except OSError as error:
        if error.errno != errno.EBUSY or not may_move:
            raise
        leaf = group / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (group / "cgroup.procs").read_text().split():
            _write(leaf / "cgroup.procs", pid)
        _write(control, text)


def _mounts(mountinfo: str) -> tuple[dict[str, Path], Path | None]:
    """Return the hierarchies of version 1 by controller, and that of version 2."""
    v1: dict[str, Path] = {}
    v2 = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        path = Path(before.split()[4])
        if kind == "cgroup2":
            v2 = path
        elif kind == "cgroup":
            v1 |= dict.fromkeys(options.split(","), path)
    return v1, v2


def _own_group(cgroup: str) -> str:
    match = re.search(r"^0::/(.*)$", cgroup, re.MULTILINE)
    return match[1].removesuffix(f"/{_LEAF}") if match else ""


def is_abandoned(name: str) -> bool:
    """Whether a name begins with that of a process, and a dot, and the process is gone."""
    match = re.match(r"(\d+)-(\d+)\.", name)
    return match is not None and _start_time(int(match[1])) != int(match[2])


def _start_time(pid: int) -> int:
    """Clock ticks from boot to the start of a process; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def _write(path: Path, value: object) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%s" % str(value).encode())
    finally:
        os.close(fd)
