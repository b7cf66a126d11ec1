"""Wheels for the Python of an image: from a folder, from what was fetched before, or fetched."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentgym.errors import MissingError

_OLDEST_GLIBC, _SOME_GLIBC = 17, 28


def gather(
    wanted: Sequence[str], *, version: str, given: Path | None, kept: Path, folder: Path
) -> list[Path]:
    """Put the wheels of these packages, and of what they need, into an empty folder.

    `given` is where they are; None: in `kept`, where those that are fetched go.

    Raises:
        MissingError: they are not there, and cannot be fetched.
    """
    argv = [*_pip(version), "--dest", str(folder)]
    if given:
        complaint = _run(*argv, *_only_from(given), *wanted)
    elif kept.is_dir() and not _run(*argv, *_only_from(kept), *wanted):
        complaint = ""
    else:
        complaint = _run(*argv, *wanted)
    if complaint:
        raise _missing(wanted, version=version, given=given, complaint=complaint)
    found = sorted(folder.glob("*.whl"))
    if not given:
        kept.mkdir(parents=True, exist_ok=True)
        for wheel in found:
            shutil.copyfile(wheel, kept / wheel.name)
    return found


def _pip(version: str) -> list[str]:
    argv = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "--quiet"]
    argv += ["--disable-pip-version-check", "--implementation", "cp", "--python-version", version]
    return [*argv, *(f"--platform={name}" for name in _platforms())]


def _only_from(folder: Path) -> list[str]:
    return ["--isolated", "--no-index", "--find-links", str(folder.resolve())]


def _platforms() -> Iterator[str]:
    """Yield the kinds of wheels that run here: those for this machine's C library, or an older."""
    machine = platform.machine()
    newest = int((os.confstr("CS_GNU_LIBC_VERSION") or "2.17").rpartition(".")[2])
    for minor in range(newest, _OLDEST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
    yield f"manylinux2014_{machine}"


def _run(*argv: str) -> str:
    """Run pip, and return what it complains of; empty: of nothing."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    return errors[0] if errors else f"it ended with {done.returncode}"


def _missing(
    wanted: Sequence[str], *, version: str, given: Path | None, complaint: str
) -> MissingError:
    names = " ".join(wanted)
    if "No module named pip" in complaint:
        return MissingError("wheels are found by pip", hint=f"{sys.executable} -m ensurepip")
    where = f"in {given}" if given else "without a network"
    command = (
        f"pip download --only-binary :all: --python-version {version} "
        f"--platform manylinux_2_{_SOME_GLIBC}_{platform.machine()} -d wheels {names}"
    )
    return MissingError(
        f"no wheels of {names} for Python {version} {where}: {complaint}",
        hint=f"where there is a network: {command}; then agentgym sandbox build --wheels wheels",
    )
