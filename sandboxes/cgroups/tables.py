"""What the kernel's tables tell of control groups: where they are, and what is in which."""

import os
import re
from pathlib import Path

from agentgym.sandboxes.cgroups.group import NEEDED, Group

LEAF = "agentgym-host"
"""Where processes go that were in a group which is to hold groups."""


def of_process(pid: int, name: str) -> Group | None:
    """Return the group that somebody else made for a process on this machine.

    `name` is part of the group's own: that a process has this number here need not mean that it
    is the one that is meant.
    """
    try:
        v1, v2 = mounts(Path("/proc/self/mountinfo").read_text())
        places = _places(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return None
    if v2 and "memory" not in places:
        group = Group(2, dict.fromkeys(NEEDED, _below(v2, places.get("", ""))))
    else:
        kinds = [kind for kind in (*NEEDED, "cpuacct") if kind in v1 and kind in places]
        group = Group(1, {kind: _below(v1[kind], places[kind]) for kind in kinds})
    if not all(kind in group.paths and name in group.paths[kind].name for kind in NEEDED):
        return None
    files = [path / "cgroup.procs" for path in group.folders]
    group.is_ours = all(os.access(file, os.W_OK) for file in files)
    return group if all(file.exists() for file in files) else None


def tops(*parents: str) -> list[Path]:
    """Return the folders of these names at the top of a hierarchy, or in what is delegated to us."""
    if not Path("/proc/self/mountinfo").exists():
        return []
    v1, v2 = mounts(Path("/proc/self/mountinfo").read_text())
    own = own_group(Path("/proc/self/cgroup").read_text())
    folders = dict.fromkeys([*v1.values(), *([v2, v2 / own] if v2 else [])])
    return [path for folder in folders for name in parents if (path := folder / name).is_dir()]


def mounts(mountinfo: str) -> tuple[dict[str, Path], Path | None]:
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


def own_group(cgroup: str) -> str:
    """Return the group of version 2 that a process is in, or was before it went to the leaf."""
    match = re.search(r"^0::/(.*)$", cgroup, re.MULTILINE)
    return match[1].removesuffix(f"/{LEAF}") if match else ""


def _places(cgroup: str) -> dict[str, str]:
    """Return where a process is by controller; "" stands for all of version 2."""
    rows = (line.split(":", 2) for line in cgroup.splitlines())
    return {kind: path for _, kinds, path in rows for kind in kinds.split(",")}


def _below(mount: Path, place: str) -> Path:
    return mount / place.lstrip("/")
