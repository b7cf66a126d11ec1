"""What shall happen in each episode of the demo: how well it is played, and what goes wrong in it."""

from dataclasses import dataclass
from typing import Literal

STEPS = 8
GROUPS = 6
GROUP_SIZE = 8
SEED = 7

STALE_GROUP = GROUPS
"""The number of the group that began under an older policy, and is in no update for that."""
STALE_STEP = 5
FORKED_STEP = 2
"""The step after which a failed episode is gone on with from its middle."""
HACKED = range(STEPS // 2, 3 * STEPS // 4)
"""The steps in which words that sound sure are paid, which some episodes find out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One episode."""

    skill: float
    """Share of the turns that are the expert's."""
    is_sure: bool = False
    """Says that it is certain, and nothing else."""
    rambles_at: int | None = None
    """The turn that is cut off at the most tokens."""
    breaks_at: int | None = None
    """The turn in which the engine fails, at the first attempt."""
    rewrites: tuple[tuple[int, Literal["edit", "branch"]], ...] = ()
    """Turns before which the context is rewritten, and how."""
    switches_at: int | None = None
    """The turn in the middle of which the policy of the step takes over from the one before."""


def skill_at(step: int) -> float:
    """Return how well episodes are played after so many optimiser steps."""
    return 0.4 + 0.55 * step / STEPS


def cue_of(step: int, group: int, member: int) -> Cue:
    """Return the cue of an episode of the training."""
    skill = skill_at(step)
    if group == STALE_GROUP:
        return Cue(skill=skill, switches_at=member % 3)
    if step in HACKED and group not in (0, 2) and member < 5:
        return Cue(skill=skill, is_sure=True)
    if group == 1 and step % 2 == 0:
        return Cue(skill=1.0)  # all alike: a group without variance
    return Cue(
        skill=skill,
        rambles_at=1 if (group, member) == (3, 6) else None,
        breaks_at=2 if (group, member) == (2, 4) and step in (1, 6) else None,
        rewrites=_REWRITES.get((group, member), ()) if step in (2, 3, 7) else (),
    )


_REWRITES: dict[tuple[int, int], tuple[tuple[int, Literal["edit", "branch"]], ...]] = {
    (0, 1): ((3, "edit"),),
    (0, 5): ((2, "edit"), (4, "branch")),
    (2, 3): ((2, "branch"),),
    (3, 2): ((2, "edit"),),
}
