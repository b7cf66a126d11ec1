"""The root tree of an image: files of packages and wheels, compiled, in one folder."""

import os
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from agentgym.errors import ConfigError

_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_PYTHON = "usr/bin/python3"
_NOT_COMPILED, _NOT_WRITTEN = "*** Error compiling", "[Errno "


def copy_places(places: Iterable[str], root: Path) -> None:
    """Copy what these paths of this machine hold to the same ones below `root`; devices are not.

    No setuid bit comes along: no program of an image may gain anything.
    """
    for place in places:
        target = root / place.lstrip("/")
        mode = os.lstat(place).st_mode
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(mode):
            target.mkdir(exist_ok=True)
        elif stat.S_ISLNK(mode):
            target.symlink_to(os.readlink(place))
        elif stat.S_ISREG(mode):
            shutil.copyfile(place, target)
            target.chmod(mode & 0o755 | 0o600)


def add_links(links: Mapping[str, str], root: Path) -> None:
    """Make links of its own, and the names beside /usr that programs expect."""
    merged = {name: f"usr/{name}" for name in _LINKS if (root / "usr" / name).is_dir()}
    for name, goal in {**merged, **links}.items():
        path = root / name
        if not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(goal)


def python_version(root: Path) -> str:
    """Return the version of its Python, such as `3.11`."""
    return os.readlink(root / _PYTHON).removeprefix("python")


def add_wheels(wheels: Iterable[Path], root: Path) -> None:
    """Unpack wheels beside the standard library.

    That folder is on the path of every interpreter, also with -S and -I. Tests and scripts of a
    wheel are left out.

    Raises:
        ConfigError: one would replace a file that is there.
    """
    library = root / "usr/lib" / f"python{python_version(root)}"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = _placed(entry.filename)
                if path is None or entry.is_dir():
                    continue
                target = library / path
                if target.exists():
                    raise ConfigError(f"{wheel.name} would replace {target.relative_to(root)}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))


def compile_all(root: Path) -> None:
    """Compile its Python, with the interpreter of this machine of which it is a copy.

    Nothing can be written in a sandbox, and importing pandas from source takes seconds. What is
    compiled depends on the content alone: checked against no time, and with one hash seed.
    """
    folder = root / "usr/lib" / f"python{python_version(root)}"
    argv = [f"/{_PYTHON}", "-s", "-S", "-m", "compileall", "-q", "-s", str(root), "-p", "/"]
    argv += ["--invalidation-mode", "unchecked-hash", str(folder)]
    done = subprocess.run(
        argv, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    # A file that is no Python of this version, such as a template, is left as it is.
    if done.returncode and (_NOT_WRITTEN in said or _NOT_COMPILED not in said):
        why = said.strip() or f"it ended with {done.returncode}"
        raise OSError(f"compileall: {why.splitlines()[-1]}")


def open_to_all(root: Path) -> None:
    """Let every user read the tree, whatever our umask: sandboxes run as users of their own."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o111 else 0o644)


def _placed(name: str) -> str | None:
    """Return where a file of a wheel goes; None: nowhere."""
    first, *rest = name.split("/")
    if first.endswith(".data"):
        if not rest or rest[0] not in ("purelib", "platlib"):
            return None
        rest = rest[1:]
    else:
        rest = [first, *rest]
    if ".." in rest or name.startswith("/") or "tests" in rest[:-1]:
        return None
    return "/".join(rest)
