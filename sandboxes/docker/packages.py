"""The files of installed Debian packages as a tar archive: a root file system without a network."""

import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from agentgym.errors import MissingError

_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_FIELDS = "${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
# Nothing reads these in a sandbox, and they are half of the files.
_LEFT_OUT = re.compile(r"/(usr/share/(doc|man|info|locale|lintian|bug|i18n)|var|etc)(/|$)")


def write_archive(packages: Iterable[str], file: BinaryIO) -> None:
    """Write what these packages and those they depend on have below /usr.

    Raises:
        MissingError: this is no Debian, or a package is not installed.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in _LINKS:
            if os.path.isdir(f"/usr/{name}"):
                archive.addfile(_link(name, f"usr/{name}"))
        for path in sorted(_places(_listed(sorted(_closure(packages))))):
            archive.add(path, recursive=False, filter=_as_root)


def _closure(wanted: Iterable[str]) -> set[str]:
    """Return the packages and all that they need, of those that are installed."""
    needs, providers = _installed()
    found: set[str] = set()
    waiting = list(wanted)
    missing = [name for name in waiting if name not in needs]
    if missing:
        names = " ".join(missing)
        raise MissingError(f"not installed: {names}", hint=f"apt-get install {names}")
    while waiting:
        name = waiting.pop()
        real = name if name in needs else providers.get(name)
        if real and real not in found:
            found.add(real)
            waiting += needs[real]
    return found


def _installed() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return what each package needs, and which one provides a name that is no package's."""
    needs: dict[str, list[str]] = {}
    providers: dict[str, str] = {}
    for line in _ask("dpkg-query", "--show", "--showformat", _FIELDS).splitlines():
        name, provided, needed = line.split("\t")
        needs[name] = _names(needed)
        providers |= dict.fromkeys(_names(provided), name)
    return needs, providers


def _names(field: str) -> list[str]:
    """Return the names in a list of dependencies, all the alternatives of each."""
    return re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", field)


def _listed(packages: list[str]) -> list[str]:
    return _ask("dpkg-query", "--listfiles", *packages).splitlines()


def _places(paths: Iterable[str]) -> Iterator[str]:
    """Return each path below /usr once, where it really lies on a system with a merged /usr."""
    seen = set()
    for path in paths:
        if not path.startswith("/") or _LEFT_OUT.match(path):
            continue
        folder, name = os.path.split(path)
        place = os.path.join(os.path.realpath(folder), name)
        is_below = place.startswith("/usr/") and not _LEFT_OUT.match(place)
        if is_below and place not in seen and os.path.lexists(place):
            seen.add(place)
            yield place


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave no setuid bit in: no program of an image may gain anything."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode &= 0o755
    return entry


def _link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE
    entry.linkname = target
    return entry


def _ask(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except OSError as error:
        raise MissingError(
            f"an image is made of Debian's packages, and {argv[0]} does not run: {error}",
            hint="use a Debian or Ubuntu machine, or an image with Python from a registry",
        ) from error
    except subprocess.CalledProcessError as error:
        raise MissingError(f"{argv[0]} failed: {error.stderr.strip()}") from error
    return done.stdout
