"""What idle sandboxes hold in memory."""

import contextlib
from pathlib import Path

from agentgym.sandbox import Sandbox

_SHIM = "containerd-shim"


def pss_mb(sandboxes: list[Sandbox]) -> float:
    """Return the mean proportional set size of sandboxes, with the shims that only they need.

    Proportional: a page that n processes share counts one n-th for each.
    """
    users = {int(sandbox.info.enforced["uid"]) for sandbox in sandboxes}
    inside = {pid for pid in _pids() if _field(pid, "Uid", 0) in users}
    shims = {parent for pid in inside for parent in [_field(pid, "PPid", 0)] if _is_shim(parent)}
    return sum(_pss_kb(pid) for pid in inside | shims) / 1024 / len(sandboxes)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _field(pid: int, name: str, missing: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return missing


def _is_shim(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_text()
            .split("\0")[0]
            .rpartition("/")[2]
            .startswith(_SHIM)
        )
    return False


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
