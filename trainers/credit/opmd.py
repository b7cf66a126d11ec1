"""OPMD: the log of the mean exponential as the baseline of a group."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import Floats, StepTable, Sureness, TrajectoryCredit, center


class OPMD(TrajectoryCredit):
    """Every step has its trajectory's return less the group's free energy.

        A_{i,t} = R_i - tau log mean_j exp(R_j / tau)

    The larger tau, the nearer to the mean. With the loss `opmd`. A group of one has 0.

    Source: Trinity-RFT's code (the mean as baseline read); the logarithm of the mean exponential is
    reconstructed from online policy mirror descent.
    """

    name: Literal["opmd"] = "opmd"
    sureness: ClassVar[Sureness] = "reconstructed"
    tau: float = Field(default=1.0, gt=0)
    """Temperature."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Subtract the free energy of each group."""
        returns = center(table.per_trajectory(rewards), table.group, scale=False)
        best = np.zeros(table.num_groups)
        np.maximum.at(best, table.group, returns)  # so that exp() stays in bounds; it is 0 or more
        size = np.maximum(np.bincount(table.group), 1)
        weights = np.exp((returns - best[table.group]) / self.tau)
        mean = np.bincount(table.group, weights=weights) / size
        return returns - (best + self.tau * np.log(np.maximum(mean, 1e-300)))[table.group]
