"""What images are made of: one entry of the table each."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What goes into one root tree."""

    packages: tuple[str, ...]
    """Of Debian; what they need comes along."""
    wheels: tuple[str, ...] = ()
    """Of Python; what they need comes along."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Path in the tree -> where it leads: what Debian's alternatives would do below /etc."""


_PROGRAMS = ("bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "mawk", "sed")
_PYTHON = ("python3-minimal", "libpython3-stdlib", "tar", "util-linux", *_PROGRAMS)
_TOOLS = ("bc", "bzip2", "file", "git", "jq", "less", "make", "patch", "procps", "xz-utils")
_OF_WHEELS = ("libgcc-s1", "libstdc++6")  # every wheel that is compiled may expect them
_AWK = {"usr/bin/awk": "mawk"}

RECIPES: dict[str, Recipe] = {
    "python": Recipe(packages=_PYTHON, links=_AWK),
    "shell": Recipe(packages=(*_PYTHON, *_TOOLS, "unzip", "zip"), links=_AWK),
    "data": Recipe(packages=(*_PYTHON, *_OF_WHEELS), wheels=("numpy", "pandas"), links=_AWK),
}
"""By name. Each has Python, for the worker is written in it."""
