"""Dynamic sampling: groups that teach nothing are replaced by groups of fresh tasks."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from agentgym.table import Bools, StepTable, build_table
from agentgym.trainers.episodes import usable
from agentgym.types import Group

Play = Callable[[int, int], Awaitable[list[Group]]]
"""(number of the first group, how many) -> the groups of fresh tasks, played."""

Judge = Callable[[StepTable], Bools]
"""Says of each group of a table whether it teaches nothing."""


class Collected(NamedTuple):
    """The groups of one optimiser step."""

    groups: list[Group]
    """Those that are trained on, in the order in which they were drawn."""
    played: list[Group]
    """All that were played for it, those that were replaced too."""


async def refill(play: Play, are_equal: Judge, *, groups: int, max_refills: int) -> Collected:
    """Play `groups` groups, and others for those that teach nothing, for `max_refills` rounds.

    What is missing after the last round is made up of groups that teach nothing.
    """
    played = await play(0, groups)
    teaching, others = _split(played, are_equal)
    for _ in range(max_refills):
        missing = groups - len(teaching)
        if not missing:
            break
        fresh = await play(len(played), missing)
        more, same = _split(fresh, are_equal)
        played, teaching, others = played + fresh, teaching + more, others + same
    chosen = (teaching + others)[:groups]
    return Collected(sorted(chosen, key=lambda group: group.trajectories[0].group_id), played)


def _split(groups: list[Group], are_equal: Judge) -> tuple[list[Group], list[Group]]:
    """Part the groups that teach something from the others; those of faults alone are neither."""
    groups = [group for group in groups if any(map(usable, group.trajectories))]
    equal = are_equal(build_table(groups)).tolist()
    return (
        [group for group, is_equal in zip(groups, equal, strict=True) if not is_equal],
        [group for group, is_equal in zip(groups, equal, strict=True) if is_equal],
    )
