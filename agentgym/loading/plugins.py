"""What installed packages offer; nothing is imported to list it."""

from collections import Counter
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple


class Plugin(NamedTuple):
    """A class that an installed package offers, not imported yet."""

    name: str
    ref: str
    package: str
    """The distribution that offers it."""
    problem: str | None = None
    """Why it cannot be used, as far as that can be seen without importing it."""


def installed(group: str, taken: Collection[str]) -> list[Plugin]:
    """Return what installed packages offer under an entry point group.

    The name of an entry point is the name of the thing, its value `pkg.mod:attr`. Names in
    `taken` are agentgym's own.
    """
    points = sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
    counts = Counter(point.name for point in points)
    return [
        Plugin(
            point.name,
            point.value,
            point.dist.name if point.dist else "?",
            _problem(point, is_ours=point.name in taken, is_unique=counts[point.name] == 1),
        )
        for point in points
    ]


def _problem(point: EntryPoint, *, is_ours: bool, is_unique: bool) -> str | None:
    if is_ours:
        return "its name is one of agentgym's own; give it another"
    if not is_unique:
        return "another package offers the same name; remove one of them"
    if ":" not in point.value:
        return f"its entry point {point.value!r} should be written pkg.mod:attr"
    return None
