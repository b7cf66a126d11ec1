"""HGPO: a step is compared at several depths of shared history, the deeper the more."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    EPS,
    ROUNDING,
    Bools,
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    Sureness,
    discounted_returns,
    group_stats,
    number_rows,
    sampled,
    unshared,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class HGPO(CreditConfig):
    """Groups of steps whose last k states are equal, for k from 1 to history + 1.

        G_{i,t} = sum_{k>=t} gamma^(k-t) r_{i,k}
        A^k_{i,t} = (G_{i,t} - mean) / (std + 1e-6)    among the steps of the task's group with the
                                                       same k last states; std of the population
        A_{i,t} = sum_k w_k A^k_{i,t} / (sum_k w_k + 1e-6),  w_k = (k + 1)^alpha

    Depths at which a step is alone, or has exactly the mean, play no part in its sum. There is no
    episode advantage unless `with_base`, where it counts as depth 0. A step without tokens has 0.

    Source: arXiv:2602.22817 and its authors' recipe for verl-agent, recipe/hgpo/core_hgpo.py (read
    in OliverLeeXZ/SERL at 3c63ef3). The formula is that of the code; it was not run. Deviation: its
    episode statistics are over steps and keep the raw return of a group of one (`base = {name =
    "grpo", cross_steps = true, singletons = "raw"}`; "dr_grpo" with `norm = "mean_norm"`).
    """

    name: Literal["hgpo"] = "hgpo"
    sureness: ClassVar[Sureness] = "code"
    switches: ClassVar[Mapping[str, str]] = {"base": "with_base"}
    history: int = Field(default=2, ge=0)
    """How many states before the present one are compared; 0 is the step's part of GiGPO."""
    alpha: float = Field(default=1.0, ge=0)
    """0 weighs all depths alike."""
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount of the returns."""
    norm: Literal["mean_norm", "mean_std_norm"] = "mean_std_norm"
    """Subtract the mean, and divide by the std or not."""
    with_base: bool = False
    """Whether the trajectory's advantage takes part."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage, where it does."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Weigh the depths."""
        returns = discounted_returns(table, rewards, gamma=self.gamma)
        total, weights = np.zeros((2, table.num_steps))
        if self.with_base:
            total += self.base.advantages(table, rewards)
            weights += np.abs(total) > ROUNDING
        states, counted = unshared(table.state), sampled(table)
        groups = number_rows(table.step_group, states)
        for depth in range(1, self.history + 2):
            relative = self._compare(returns, groups, counted & (table.step >= depth - 1))
            weight = (depth + 1) ** self.alpha * (relative != 0)
            total += weight * relative
            weights += weight
            groups = number_rows(groups, np.roll(states, depth))
        return total / (weights + EPS)

    def _compare(self, returns: Floats, groups: Ints, takes_part: Bools) -> Floats:
        """Return the advantages at one depth; 0 where a step has not that many states behind it."""
        relative = np.zeros(len(returns))
        rows = np.flatnonzero(takes_part)
        if not len(rows):
            return relative
        own = number_rows(groups[rows])
        size, mean, std = group_stats(returns[rows], own)
        scale = std * np.sqrt((size - 1) / size) + EPS if self.norm == "mean_std_norm" else size**0
        distance = returns[rows] - mean[own]
        differs = np.abs(distance) > ROUNDING * np.maximum(np.abs(returns[rows]), 1.0)
        relative[rows] = np.where(differs & (size[own] > 1), distance / scale[own], 0.0)
        return relative
