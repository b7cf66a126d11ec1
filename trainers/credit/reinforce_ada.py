"""Reinforce-Ada: the baseline is of all samples that were drawn, those not kept too."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import Floats, StepTable, Sureness, TrajectoryCredit


class ReinforceAda(TrajectoryCredit):
    """Every step has its trajectory's return less the mean of all that were drawn for its task.

        A_{i,t} = R_i - mean over every sample drawn for the task

    A sampler that draws until it has successes and failures keeps a balanced few, whose own mean
    says nothing of the task. The mean is the column `pool_mean`, which such a sampler writes.

    Source: `global_stat_est` of RLHFlow/Reinforce-Ada at 05be605 without the division by the std,
    which is off there by default (read, and its numbers reproduced).
    """

    name: Literal["reinforce_ada"] = "reinforce_ada"
    sureness: ClassVar[Sureness] = "run"
    requires: ClassVar[tuple[str, ...]] = ("pool_mean",)

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Subtract the mean of the pool."""
        assert table.pool_mean is not None, "it is required"
        return table.per_trajectory(rewards) - table.pool_mean
