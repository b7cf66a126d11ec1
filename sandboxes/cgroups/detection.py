"""Which control groups this process may make, and what others left of theirs."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from agentgym.sandboxes.cgroups.group import NEEDED, write
from agentgym.sandboxes.cgroups.parent import Cgroups
from agentgym.sandboxes.cgroups.tables import LEAF, mounts, own_group
from agentgym.sandboxes.owners import is_left

logger = logging.getLogger(__name__)

PARENT = "agentgym"
"""The group of all sandboxes."""


def detect() -> Cgroups | None:
    """Find out what this process may use, and prepare it; None: neither version.

    Where a group of version 2 is delegated to us, the processes in it, of which we are one, go
    to a leaf below it, for a group has either processes or groups.
    """
    if not Path("/proc/self/mountinfo").exists():  # not Linux
        return None
    v1, v2 = mounts(Path("/proc/self/mountinfo").read_text())
    own = own_group(Path("/proc/self/cgroup").read_text())
    found = (_detect_v2(v2, v2 / own) if v2 else None) or _detect_v1(v1)
    if found:
        reap(found.folders)
        found.weigh()
        found.hold_memory(found.room_bytes())
    return found


def reap(folders: Iterable[Path]) -> list[str]:
    """Remove the groups of owners that are gone from folders of groups; return their names."""
    removed = set()
    for path in [path for folder in folders for path in folder.iterdir()]:
        if path.is_dir() and is_left(path):
            with contextlib.suppress(OSError):  # another process was faster, or it is not empty
                path.rmdir()
                removed.add(path.name)
    return sorted(removed)


def _detect_v1(hierarchies: dict[str, Path]) -> Cgroups | None:
    if not all(kind in hierarchies for kind in NEEDED):
        return None
    kinds = [kind for kind in (*NEEDED, "cpuacct") if kind in hierarchies]
    roots = {kind: hierarchies[kind] / PARENT for kind in kinds}
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
            root = base / PARENT
            root.mkdir(exist_ok=True)
            _delegate(root, may_move=False)
        except OSError as error:
            logger.debug("no cgroup v2 under %s: %s", base, error)
            continue
        return Cgroups(2, dict.fromkeys(NEEDED, root))
    return None


def _delegate(group: Path, *, may_move: bool) -> None:
    """Hand the controllers down to children; processes of the group must move to a leaf first."""
    available = (group / "cgroup.controllers").read_text().split()
    if not all(kind in available for kind in NEEDED):
        raise OSError(errno.ENOENT, f"controllers here: {available}")
    control = group / "cgroup.subtree_control"
    text = " ".join(f"+{kind}" for kind in NEEDED)
    try:
        write(control, text)
    except OSError as error:
        if error.errno != errno.EBUSY or not may_move:
            raise
        _move(group, group / LEAF)
        write(control, text)


def _move(group: Path, leaf: Path) -> None:
    leaf.mkdir(exist_ok=True)
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            write(leaf / "cgroup.procs", pid)
