"""Who made a container: a process of this machine, which may be gone."""

import os
from pathlib import Path

from agentgym.sandboxes.owners import numbering, start_time


def owner() -> str:
    """Name this process in such a way that no other ever has the same name."""
    return f"{_place()}:{_process(os.getpid())}"


def is_known(name: str) -> bool:
    """Whether it is of here: of elsewhere nobody knows what lives."""
    return name.rpartition(":")[0] == _place()


def is_gone(name: str) -> bool:
    """Whether that process has ended; of one of elsewhere this says no."""
    process = name.rpartition(":")[2]
    pid = process.partition("-")[0]
    return is_known(name) and pid.isdigit() and _process(int(pid)) != process


def _process(pid: int) -> str:
    return f"{pid}-{start_time(pid)}"


def _place() -> str:
    """Name this boot of this machine, and within it the numbering of processes that we see."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{numbering()}"
