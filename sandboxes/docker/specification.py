"""What a container is to be, in the words of the engine's API."""

import posixpath
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Limits

_ROOM_BYTES = 64 << 20
_SHM_BYTES = 16 << 20
_MOST_FILES = 16384
_LOCKED_BYTES = 65536
_CLOSED = "ro,nosuid,nodev,noexec,size=4k,mode=0555"
_MAX_AGE_S = 24 * 3600  # then whoever cannot know whether its owner lives may remove it

_MASKED = [
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/key-users", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi"),
    *("/proc/timer_list", "/proc/timer_stats", "/sys/firmware"),
    "/sys/devices/virtual/powercap",
]
"""What tells of the whole machine; engines leave some of it open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """What the containers of one pool have in common."""

    image: str
    environment: Mapping[str, str]
    without: Iterable[str]
    """Variables of the image that it has not: the engine drops those that are named alone."""
    closed: Iterable[str]
    """Folders where the image would have the engine put a disk to write on."""
    limits: Limits
    cpus: float
    seccomp: str
    labels: Mapping[str, str]
    cgroup_parent: str
    runtime: str | None

    def for_user(self, uid: int, program: list[str]) -> dict[str, Any]:
        """Return the body of the request for a container that runs a program as this user.

        Its stdin is open for one connection: when that ends, however it does, the worker reads
        the end of its input and leaves, and the engine removes the container.
        """
        return {
            "Image": self.image,
            "Entrypoint": program,
            "Cmd": [],
            "Env": [
                *(f"{name}={value}" for name, value in self.environment.items()),
                *self.without,
            ],
            "User": f"{uid}:{uid}",
            "WorkingDir": "/box",
            "Hostname": "sandbox",
            "Labels": {**self.labels, "agentgym.deadline": f"{time.time() + _MAX_AGE_S:.0f}"},
            "Tty": False,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Healthcheck": {"Test": ["NONE"]},
            "NetworkDisabled": True,
            "HostConfig": self._host(uid),
        }

    def _host(self, uid: int) -> dict[str, Any]:
        limits = self.limits
        host: dict[str, Any] = {
            "AutoRemove": True,
            "Init": False,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={self.seccomp}"],
            "ReadonlyRootfs": True,
            "MaskedPaths": _MASKED,
            "NetworkMode": "none",
            "IpcMode": "none",  # /dev/shm is ours: the worker has to be able to wipe it
            "CgroupnsMode": "private",
            "CgroupParent": self.cgroup_parent,
            "Tmpfs": dict.fromkeys(self.closed, _CLOSED) | _places(uid),
            "Memory": limits.memory_bytes,
            "MemorySwap": limits.memory_bytes,
            "PidsLimit": limits.pids + 2,
            "NanoCpus": int(self.cpus * 1e9),
            "OomScoreAdj": 500,
            "Ulimits": _ulimits(),
            "LogConfig": {"Type": "none"},
            "RestartPolicy": {"Name": "no"},
        }
        if self.runtime:
            host["Runtime"] = self.runtime
        return host


def closed_to(volumes: Iterable[str]) -> list[str]:
    """Return where a container must have nothing in the place of the volumes of its image.

    Raises:
        SandboxUnavailable: one is in a folder that is wiped, where it would stay.
    """
    found = [posixpath.normpath(path) for path in volumes]
    for path in found:
        if path.startswith(tuple(f"{place}/" for place in _places(0))):
            raise SandboxUnavailable(
                f"the image has a volume at {path}, where a sandbox has files of its own",
                hint="choose an image without it, or make one: docker export, docker import",
            )
    return sorted(set(found) - _places(0).keys())


def _places(uid: int) -> dict[str, str]:
    common = f"rw,nosuid,nodev,exec,nr_inodes={_MOST_FILES},uid={uid},gid={uid}"
    return {
        "/box": f"{common},size={_ROOM_BYTES},mode=0700",
        "/tmp": f"{common},size={_ROOM_BYTES},mode=1777",
        "/dev/shm": f"{common},size={_SHM_BYTES},mode=1777",
    }


def _ulimits() -> list[dict[str, Any]]:
    """Limits of the worker as well; open files are not among them, for it holds those of sessions."""
    hard = {"core": 0, "msgqueue": 0, "memlock": _LOCKED_BYTES}
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in hard.items()]
