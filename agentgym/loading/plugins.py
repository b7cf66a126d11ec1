"""Environments that installed packages offer; nothing is imported to list them."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

_GROUP = "agentgym.envs"


class Plugin(NamedTuple):
    """An environment that an installed package offers, not imported yet."""

    id: str
    ref: str
    package: str
    """The distribution that offers it."""
    problem: str | None = None
    """Why it cannot be used, as far as that can be seen without importing it."""


def installed_envs(table: Mapping[str, str]) -> list[Plugin]:
    """Return what installed packages offer under the entry point group `agentgym.envs`.

    The name of an entry point is the id of the environment, its value `pkg.mod:attr`.
    """
    points = sorted(entry_points(group=_GROUP), key=lambda point: (point.name, point.value))
    counts = Counter(point.name for point in points)
    return [
        Plugin(
            point.name,
            point.value,
            point.dist.name if point.dist else "?",
            _problem(point, is_ours=point.name in table, is_unique=counts[point.name] == 1),
        )
        for point in points
    ]


def _problem(point: EntryPoint, *, is_ours: bool, is_unique: bool) -> str | None:
    if is_ours:
        return "its id is one of agentgym's own; give it another"
    if not is_unique:
        return "another package offers the same id; remove one of them"
    if ":" not in point.value:
        return f"its entry point {point.value!r} should be written pkg.mod:attr"
    return None
