"""Which episodes of a run `agentgym export` writes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym.store.episodes import EpisodeHead

_TRAIN = re.compile(r"train-(\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What an episode must be; all of it."""

    min_outcome: float | None
    split: str | None
    group: str | None
    wanted: frozenset[str]
    """Ids; none: all."""
    labelled: frozenset[str] | None
    """Ids; None: all."""
    best_of_group: bool
    last_steps: int | None


def judge(
    heads: "Sequence[EpisodeHead]", filters: Filters, *, with_faults: bool
) -> "Callable[[EpisodeHead], str | None]":
    """Return what says why one of these is left out, None where it is not.

    What depends on other episodes, the last step and the best of a group, is found beforehand.
    """
    first_step = 0
    if filters.last_steps is not None:
        first_step = max(0, max(map(_step, heads), default=-1) + 1 - filters.last_steps)

    def why_not(head: "EpisodeHead") -> str | None:
        if filters.wanted and head.id not in filters.wanted:
            return "not asked for"
        if filters.group not in (None, head.group_id):
            return f"not of the group {filters.group}"
        if filters.labelled is not None and head.id not in filters.labelled:
            return "not labelled so"
        if head.end == "error" and not with_faults:
            return "ended by a fault"
        if filters.split not in (None, head.split):
            return f"not of the split {filters.split}"
        if filters.last_steps is not None and _step(head) < first_step:
            return f"not of the last {filters.last_steps} steps"
        if filters.min_outcome is not None and not head.outcome >= filters.min_outcome:
            return f"outcome below {filters.min_outcome:g}"
        return None

    if not filters.best_of_group:
        return why_not
    best = _best_of_groups([head for head in heads if why_not(head) is None])
    return lambda head: why_not(head) or (None if head.id in best else "not the best of the group")


def _best_of_groups(heads: "Sequence[EpisodeHead]") -> set[str]:
    """Return the ids of the best of each group: by outcome, then by the fewest turns."""
    ranked = sorted(heads, key=lambda head: (-head.outcome, head.turns, head.id))
    best: dict[str, str] = {}
    for head in ranked:
        best.setdefault(head.group_id, head.id)
    return set(best.values())


def _step(head: "EpisodeHead") -> int:
    """Return the optimiser step that an episode was rolled out for; -1: for none."""
    match = _TRAIN.match(head.group_id)
    return int(match[1]) if match else -1
