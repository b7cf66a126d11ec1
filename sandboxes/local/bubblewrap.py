"""The command line of bubblewrap, and what its complaints mean."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.machine import ENVIRONMENT

_PROGRAM_ID = "65534"
_TMPFS_BYTES = str(64 << 20)
_SHM_BYTES = str(16 << 20)
_MASKED = ("/usr/local", "/usr/src", "/usr/lib/python3/dist-packages")
_SYSCTLS = Path("/proc/sys")
_CONTAINER = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined"

# What bwrap says -> what is the matter, and the command that mends it.
_COMPLAINTS = (
    ("unknown option", "bubblewrap is older than 0.8", "apt-get install bubblewrap"),
    (
        "mount proc",
        "/proc cannot be mounted, as in a container with a masked /proc",
        f"start the container with `{_CONTAINER}`",
    ),
    (
        "can't find source path",
        "the image lies where the user of sandboxes may not look",
        "let others enter its folders (chmod o+x), or build it in such: XDG_CACHE_HOME=/var/cache",
    ),
    ("execvp", "there is no such Python in the sandbox", "apt-get install python3"),
    (
        "seccomp",
        "the kernel refuses seccomp filters",
        "run on a kernel with CONFIG_SECCOMP_FILTER",
    ),
)


def find() -> str:
    """Return the path of bwrap.

    Raises:
        SandboxUnavailable: it is not installed.
    """
    if platform.system() != "Linux":
        raise SandboxUnavailable("the local sandbox needs Linux", hint="use a Linux machine")
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxUnavailable(
            "the local sandbox needs bubblewrap", hint="apt-get install bubblewrap"
        )
    return path


def command(
    bwrap: str, program: list[str], *, root: Path, seccomp_fd: int, info_fd: int
) -> list[str]:
    """Return the command that runs `program` as PID 1 of a new sandbox.

    `root` is the tree whose /usr is seen inside: an image, or / for the host's. Nothing of it is
    writable, and nothing else of it is there, nor what was installed beside the distribution.
    The caller must not be root: root in a user namespace is still root to the kernel, and writes
    to /proc/sys. Every tmpfs has a size or is read-only, for the default is half of the machine's
    memory.
    """
    arguments = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    arguments += ["--unshare-uts", "--unshare-cgroup-try", "--disable-userns"]
    arguments += ["--cap-drop", "ALL", "--new-session", "--as-pid-1", "--die-with-parent"]
    arguments += ["--hostname", "sandbox", "--clearenv"]
    arguments += ["--uid", _PROGRAM_ID, "--gid", _PROGRAM_ID]
    for name, value in ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    arguments += ["--ro-bind", str(root / "usr"), "/usr", *_links(root)]
    for path in _masked(root):
        arguments += ["--tmpfs", path, "--remount-ro", path]
    arguments += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    arguments += [*_tmpfs("/dev/shm", _SHM_BYTES, "1777"), "--remount-ro", "/dev"]
    arguments += [*_tmpfs("/tmp", _TMPFS_BYTES, "1777"), *_tmpfs("/box", _TMPFS_BYTES, "0700")]
    arguments += ["--chdir", "/box", "--remount-ro", "/"]
    arguments += ["--seccomp", str(seccomp_fd), "--info-fd", str(info_fd)]
    return [bwrap, *arguments, "--", *program]


def explain(stderr: str) -> SandboxUnavailable:
    """Turn what bwrap said into the reason and the command that mends it."""
    said = stderr.strip() or "it said nothing"
    if "namespace" in stderr:
        return SandboxUnavailable(
            f"user namespaces are forbidden here ({said})", hint=_allow_namespaces()
        )
    if "rtm_newaddr" in stderr.lower() or "uid map" in stderr.lower():
        return SandboxUnavailable(
            f"user namespaces are restricted here ({said})", hint=_allow_namespaces()
        )
    for phrase, reason, hint in _COMPLAINTS:
        if phrase in stderr.lower():
            return SandboxUnavailable(f"{reason} ({said})", hint=hint)
    return SandboxUnavailable(f"the sandbox did not start: {said}", hint="agentgym doctor")


def _tmpfs(path: str, size: str, mode: str) -> list[str]:
    return ["--size", size, "--perms", mode, "--tmpfs", path]


def _links(root: Path) -> Iterator[str]:
    """The names beside /usr, as links where the tree has links, else as folders."""
    for name in ("lib", "lib64", "bin"):
        path = root / name
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), f"/{name}")
        elif path.is_dir():
            yield from ("--ro-bind", str(path), f"/{name}")


def _masked(root: Path) -> list[str]:
    """Folders of /usr that hide what root installed: graders and hidden tests may be there."""
    ours = [str(Path(__file__).resolve().parents[2]), sys.prefix]
    installed = [path for path in ours if path.startswith("/usr/") and path != "/usr"]
    masked: list[str] = []
    for path in (*_MASKED, *installed):
        is_there = (root / path.lstrip("/")).is_dir()
        if is_there and not any(path.startswith(f"{above}/") for above in masked):
            masked.append(path)
    return list(dict.fromkeys(masked))


def _allow_namespaces() -> str:
    """Return the mend by what this machine has: not every kernel has every switch."""
    for name, refuses, value in (
        ("kernel/unprivileged_userns_clone", 0, 1),
        ("user/max_user_namespaces", 0, 15000),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, 0),
    ):
        file = _SYSCTLS / name
        if file.exists() and int(file.read_text()) == refuses:
            return f"sysctl -w {name.replace('/', '.')}={value}"
    return f"in a container, start it with `{_CONTAINER}`; elsewhere, see why: agentgym doctor"
