"""One control group: the limits and counters of one sandbox."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NEEDED = ("memory", "pids", "cpu")
"""The controllers without which there are no limits."""

_PERIOD_US = 100_000


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

    def make(self) -> None:
        """Make its folders; those that are there stay as they are."""
        for folder in self.folders:
            folder.mkdir(exist_ok=True)

    def limit(self, *, memory_bytes: int, pids: int, cpus: float) -> None:
        """Set the limits. Version 2 kills what holds more memory than that.

        Raises:
            OSError: the group is gone, or, in version 1, holds more memory than that.
        """
        quota = int(cpus * _PERIOD_US)
        if self.version == 2:
            self._limit_v2(memory_bytes, quota)
        else:
            self._limit_v1(memory_bytes, quota)
        write(self.paths["pids"] / "pids.max", pids)

    @property
    def counter_files(self) -> list[str]:
        """Where kills for want of memory are counted, and where CPU time is, if it is."""
        if self.version == 2:
            return [f"{self.paths['memory']}/memory.events", f"{self.paths['cpu']}/cpu.stat"]
        cpu = [f"{self.paths['cpuacct']}/cpuacct.usage"] if "cpuacct" in self.paths else []
        return [f"{self.paths['memory']}/memory.oom_control", *cpu]

    def remove(self) -> None:
        """Remove the group, if nothing runs in it."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _limit_v1(self, memory_bytes: int, quota: int) -> None:
        with_swap = self.paths["memory"] / "memory.memsw.limit_in_bytes"
        if with_swap.exists():  # it may never be below the limit without swap
            write(with_swap, -1)
        write(self.paths["memory"] / "memory.limit_in_bytes", memory_bytes)
        if with_swap.exists():
            write(with_swap, memory_bytes)
        write(self.paths["cpu"] / "cpu.cfs_quota_us", quota)

    def _limit_v2(self, memory_bytes: int, quota: int) -> None:
        swap = self.paths["memory"] / "memory.swap.max"
        if swap.exists():
            write(swap, 0)
        write(self.paths["memory"] / "memory.max", memory_bytes)
        write(self.paths["cpu"] / "cpu.max", f"{quota} {_PERIOD_US}")


def write(path: Path, value: object) -> None:
    """Write a file of a group.

    Raises:
        OSError: the kernel refuses the value.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%s" % str(value).encode())
    finally:
        os.close(fd)
