"""REINFORCE++ with a baseline: returns less their group's mean, standardised over the batch."""

from typing import ClassVar, Literal

import numpy as np

from agentgym.trainers.credit.base import (
    Floats,
    Singletons,
    StepTable,
    Sureness,
    TrajectoryCredit,
    center,
    count_tokens,
    whiten,
)


class ReinforcePPBaseline(TrajectoryCredit):
    """Every step has its trajectory's return less its group's mean, whitened over all tokens.

        B_i = R_i - mean_j R_j within the group
        A_{i,t} = (B_i - mean) / sqrt(var + 1e-8)    over the sampled tokens of the batch

    Long trajectories weigh more in the mean and the variance, as each token counts.

    A group of equal returns has B = 0 and mostly another advantage: a little for or against what
    it did, as the mean of B over tokens is not 0 where lengths differ. What sampled no token has 0.

    Source: arXiv:2501.03262; formula as in verl's code (read, and its numbers reproduced).
    Deviation: a group of one has the advantage 0 and is in no statistics.
    """

    name: Literal["reinforce_pp_baseline"] = "reinforce_pp_baseline"
    sureness: ClassVar[Sureness] = "run"

    singletons: Singletons = "zero"
    """`raw`: a group of one has its return for B, as in verl."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Whiten the centered returns."""
        returns, weights = table.per_trajectory(rewards), count_tokens(table)
        if self.singletons == "zero":
            weights = np.where(np.bincount(table.group)[table.group] > 1, weights, 0)
        centered = center(returns, table.group, scale=False, singletons=self.singletons)
        return np.where(weights > 0, whiten(centered, weights), 0.0)
