"""NGRPO: a group is compared with a success that it need not have had."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import EPS, Floats, StepTable, Sureness, TrajectoryCredit


class NGRPO(TrajectoryCredit):
    """GRPO whose mean and std include virtual trajectories of the best return.

        A_{i,t} = (R_i - mean) / (std + 1e-6)    over the group and `virtual` returns of max_reward

    So a group of failures learns that it failed: four returns of 0 have -0.447 each. Without
    positive ones to weigh against, the method comes with an asymmetric clip (0.16 below, 0.24
    above) in the loss.

    Source: nangongrui-ngr/NGRPO at e7a3804 (read, and its numbers reproduced). A group of one has the advantage
    0; groups of nothing but the best return have 0 by the formula.
    """

    name: Literal["ngrpo"] = "ngrpo"
    sureness: ClassVar[Sureness] = "run"
    max_reward: float = 1.0
    """The best return there is."""
    virtual: int = Field(default=1, ge=1)
    """How many virtual trajectories each group has."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise with the virtual returns."""
        short = table.per_trajectory(rewards) - self.max_reward  # so that virtual returns are 0
        size = np.bincount(table.group)
        count = size + self.virtual
        mean = np.bincount(table.group, weights=short) / count
        squares = np.bincount(table.group, weights=(short - mean[table.group]) ** 2)
        std = np.sqrt((squares + self.virtual * mean**2) / (count - 1))
        relative = (short - mean[table.group]) / (std[table.group] + EPS)
        return np.where(size[table.group] == 1, 0.0, relative)
