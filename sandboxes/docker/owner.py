"""Who made a container: a process of this machine, which may be gone."""

import os
from pathlib import Path

from agentgym.sandboxes.cgroups import owner_name


def owner() -> str:
    """Name this process in such a way that no other ever has the same name."""
    return f"{_place()}:{owner_name(os.getpid())}"


def is_gone(name: str) -> bool:
    """Whether that process has ended; of one of elsewhere nobody knows, and this says no."""
    place, _, process = name.rpartition(":")
    pid = process.partition("-")[0]
    return place == _place() and pid.isdigit() and owner_name(int(pid)) != process


def _place() -> str:
    """Name this boot of this machine, and within it the numbering of processes that we see."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
