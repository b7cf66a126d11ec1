"""Installed Debian packages, and their files: the base of every image, there without a network."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agentgym.errors import MissingError

_FIELDS = "${db:Status-Status}\t${Package}\t${Version}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
# Nothing reads these in a sandbox, and they are half of the files.
_LEFT_OUT = re.compile(r"/(usr/share/(doc|man|info|locale|lintian|bug|i18n)|var|etc)(/|$)")


class _Package(NamedTuple):
    version: str
    needs: list[str]


def closure(wanted: Iterable[str]) -> dict[str, str]:
    """Return these packages and all that they need, as far as it is installed, and each version.

    Raises:
        MissingError: this is no Debian, or one of these is not installed.
    """
    packages, providers = _installed()
    waiting = list(wanted)
    missing = [name for name in waiting if name not in packages]
    if missing:
        names = " ".join(missing)
        raise MissingError(f"not installed: {names}", hint=f"apt-get install {names}")
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        real = name if name in packages else providers.get(name)
        if real and real not in found:
            found[real] = packages[real].version
            waiting += packages[real].needs
    return dict(sorted(found.items()))


def places(packages: Iterable[str]) -> list[str]:
    """Return what packages have below /usr, where it really lies on a system with a merged /usr."""
    listed = _ask("dpkg-query", "--listfiles", *sorted(packages)).splitlines()
    return sorted(set(_real_places(listed)))


def _installed() -> tuple[dict[str, _Package], dict[str, str]]:
    """Return all packages, and which one provides a name that is no package's."""
    packages: dict[str, _Package] = {}
    providers: dict[str, str] = {}
    for line in _ask("dpkg-query", "--show", "--showformat", _FIELDS).splitlines():
        status, name, version, provided, needed = line.split("\t")
        if status == "installed":
            packages[name] = _Package(version, _names(needed))
            providers |= dict.fromkeys(_names(provided), name)
    return packages, providers


def _names(field: str) -> list[str]:
    """Return the names in a list of dependencies, all the alternatives of each."""
    return re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", field)


def _real_places(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if not path.startswith("/") or _LEFT_OUT.match(path):
            continue
        folder, name = os.path.split(path)
        place = os.path.join(os.path.realpath(folder), name)
        is_below = place.startswith("/usr/") and not _LEFT_OUT.match(place)
        if is_below and os.path.lexists(place):
            yield place


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
