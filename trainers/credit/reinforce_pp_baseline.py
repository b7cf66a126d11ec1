"""REINFORCE++ with a baseline: returns less their group's mean, standardised over the batch."""

from typing import Literal

from agentgym.trainers.credit.base import (
    Floats,
    StepTable,
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

    Source: arXiv:2501.03262; formula as in verl's code (read, and its numbers reproduced). A
    group of one has B = 0.
    """

    name: Literal["reinforce_pp_baseline"] = "reinforce_pp_baseline"

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Whiten the centered returns."""
        centered = center(table.per_trajectory(rewards), table.group, scale=False)
        return whiten(centered, count_tokens(table))
