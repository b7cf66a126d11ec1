"""BNPO: tasks weigh by how common their pass rate is in the batch."""

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import Floats, StepTable, Sureness, TrajectoryCredit, group_stats

_MAX_LOG = 700.0  # exp() of more overflows: pass rates that hardly differ, so a narrow peak


class BNPO(TrajectoryCredit):
    """Every step has its trajectory's return less the pass rate, over the density of that rate.

        p_g = mean_j R_j of group g        A_{i,t} = (R_i - p_g) / Beta(p_g; alpha, beta)
        alpha = max(1, 1 + a/3), beta = max(1, 1 + b/3), where Beta(a, b) has the mean and the
        unbiased variance of the batch's p_g

    Returns are expected between 0 and 1; a pass rate outside counts as 0 or 1. The weight is at
    most `max_weight`.

    Source: changyi7231/BNPO at a9c51b9 (read, and its numbers reproduced). Deviation: where all pass rates
    are equal the code returns NaN; here, and for a single task, the weight is 1.
    """

    name: Literal["bnpo"] = "bnpo"
    sureness: ClassVar[Sureness] = "run"
    max_weight: float = Field(default=1e6, gt=0)
    """Of a task."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Weigh the centered returns."""
        returns = table.per_trajectory(rewards)
        rate = group_stats(returns, table.group).mean
        weight = np.minimum(
            1.0 / np.maximum(self._density(rate.clip(0, 1)), 1e-300), self.max_weight
        )
        return (returns - rate[table.group]) * weight[table.group]

    def _density(self, rate: Floats) -> Floats:
        """Return the density of each pass rate [K] under the widened distribution of them all."""
        mean = float(rate.mean()) if len(rate) else 0.0
        variance = float(rate.var(ddof=1)) if len(rate) > 1 else 0.0
        if variance < 1e-12:
            return np.ones(len(rate))
        common = mean * (1 - mean) / variance - 1
        alpha, beta = (max(1.0, 1 + common * share / 3) for share in (mean, 1 - mean))
        scale = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
        density = scale + _log_power(rate, alpha - 1) + _log_power(1 - rate, beta - 1)
        return np.asarray(np.exp(np.minimum(density, _MAX_LOG)))


def _log_power(values: Floats, power: float) -> Floats:
    """Return log(values ** power), where 0 ** 0 is 1 and any other power of 0 is 0."""
    logs = power * np.log(np.maximum(values, np.finfo(np.float64).tiny))
    return np.where((values == 0) & (power > 0), -np.inf, logs)
