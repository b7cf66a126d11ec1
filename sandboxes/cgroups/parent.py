"""The control group of all sandboxes: what they share, and how one of theirs is made in it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentgym.sandboxes.cgroups.group import Group, write

logger = logging.getLogger(__name__)

_RESERVE = 8
"""One part in so many of the memory is for everything that is no sandbox."""
_LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}
_NO_LIMIT = 1 << 62  # version 1 has a number for it


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

    def create(self, name: str) -> Group:
        """Make an empty group."""
        group = Group(self.version, {kind: root / name for kind, root in self.roots.items()})
        group.make()
        return group

    def create_home(self) -> Group:
        """Make a group without limits, for the processes that start sandboxes."""
        return self.create("spawners")

    def weigh(self) -> None:
        """Let the sandboxes together count as several processes; a group counts as one."""
        file, unit, most = (("cpu.shares", 1024, 262144), ("cpu.weight", 100, 10000))[
            self.version - 1
        ]
        write(self.roots["cpu"] / file, min(unit * 2 * (os.cpu_count() or 1), most))

    def hold_memory(self, total_bytes: int) -> None:
        """Hold all sandboxes together to this much; less that somebody else has set stays."""
        held = self.memory_bytes()
        if held is not None and held <= total_bytes:
            return
        root = self.roots["memory"]
        try:
            if self.version == 1 and (root / "memory.use_hierarchy").exists():
                write(root / "memory.use_hierarchy", 1)
            write(root / _LIMITS[self.version], total_bytes)
        except OSError as error:  # they hold more already, or are not ours alone
            logger.warning("the memory of all sandboxes together is not limited: %s", error)

    def memory_bytes(self) -> int | None:
        """Return what all sandboxes together are held to; None: nothing."""
        return _limit(self.roots["memory"] / _LIMITS[self.version])

    def room_bytes(self) -> int:
        """Return what they may hold: not all that there is, be it of the machine or a container."""
        above = self.roots["memory"].parents
        limits = (_limit(folder / _LIMITS[self.version]) for folder in above)
        there = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
        there += [limit for limit in limits if limit is not None]
        return min(there) // _RESERVE * (_RESERVE - 1)


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:  # the top of a hierarchy has none
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None
