"""MC-GRPO: the median of its group in the place of the mean."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import Floats, Ints, StepTable, Sureness, TrajectoryCredit


class MCGRPO(TrajectoryCredit):
    """Every step has its trajectory's distance from the median, in median absolute deviations.

        A_{i,t} = (R_i - median_j R_j) / (MAD_j R_j + mad_eps)

    Meant for groups of an odd size, whose middle one has the advantage 0 and so is not trained on.
    Of an even number of values the lower middle one is the median.

    Where more than half of a group is equal, the MAD is 0 and the division by `mad_eps` makes
    advantages of thousands: one success among five has 1000. `limit` bounds them.

    Source: lotusroot-kim/MC-GRPO at da07745 (read, and its numbers reproduced with `limit = null` and
    `compat = true`). Deviations: the bound, and no rescaling, which the paper does not tell of.
    """

    name: Literal["mc_grpo"] = "mc_grpo"
    sureness: ClassVar[Sureness] = "run"
    mad_eps: float = Field(default=1e-3, gt=0)
    """Added to the MAD before dividing by it."""
    limit: float | None = Field(default=5.0, gt=0)
    """Largest absolute advantage; null: none."""
    compat: bool = False
    """Multiply by the size of the group over how many of its advantages are not 0, as the code."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Compare with the median of the group."""
        distance = (returns := table.per_trajectory(rewards)) - _medians(returns, table.group)
        relative = distance / (_medians(np.abs(distance), table.group) + self.mad_eps)
        if self.compat:
            size = np.bincount(table.group)
            moved = np.bincount(table.group, weights=relative != 0)
            relative = relative * (size / np.maximum(moved, 1))[table.group]
        bound = np.inf if self.limit is None else self.limit
        return np.asarray(np.clip(relative, -bound, bound))


def _medians(values: Floats, groups: Ints) -> Floats:
    """Return for each value [n] the lower median of its group."""
    size = np.bincount(groups)
    first = np.cumsum(size) - size
    ordered = values[np.lexsort((values, groups))]
    return np.asarray(ordered[(first + np.maximum(size - 1, 0) // 2)[groups]])
