"""RiskPO: tasks are bundled, and the worst outcomes of a bundle weigh most."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agentgym.trainers.credit.base import (
    EPS,
    Floats,
    Ints,
    Singletons,
    StepTable,
    Sureness,
    TrajectoryCredit,
)


class RiskPO(TrajectoryCredit):
    """Groups are bundled in their order; the j-th trajectories of a bundle are judged together.

        S_j = sum over the groups q of the bundle of R_{q,j}
        A_j = (mix cvar_j + rvar_j) / (mix + 1) / (std S + 1e-6)
        rvar_j = ((S_j - Q_low)^+ - (S_j - Q_high)^+) / (high - low)    cvar_j = -(Q_low - S_j)^+ / low
        uniform:  A_{q,j} = A_j        sum-mean: A_{q,j} = A_j (R_{q,j} - mean_q) / sum_q' (...)

    Q are quantiles of S in the bundle. With `sum-mean` a bundle whose parts cancel is split
    equally, so that a wrong answer can have a positive advantage; where they nearly cancel, a few
    trajectories get advantages of hundreds. So `uniform` is the default.

    Outcomes are compared inside of a bundle and not of a group: with `uniform` a group of equal
    returns has what the others of its bundle have, and with `bundle = 1` it has 0.

    Source: RTkenny/RiskPO at 65ec40c (read, and its numbers reproduced with the quantiles of the batch).
    Deviations: a group of one has the advantage 0; the code tracks the quantiles by gradient descent over the training; where a group
    has fewer trajectories than others of its bundle, its mean stands for the missing ones. A
    bundle whose sums are all equal has the advantage 0.
    """

    name: Literal["riskpo"] = "riskpo"
    sureness: ClassVar[Sureness] = "run"
    bundle: int = Field(default=5, ge=1)
    """Groups in a bundle; the last one may have fewer."""
    low: float = Field(default=0.2, gt=0, lt=1)
    """Share of the outcomes that count as the worst."""
    high: float = Field(default=0.8, gt=0, lt=1)
    """Above this share more return counts no more."""
    mix: float = Field(default=1.5, ge=0)
    """Weight of the worst against the middle."""
    singletons: Singletons = "zero"
    """`raw`: a group of one has what its bundle has, as in the code."""
    share: Literal["uniform", "sum-mean"] = "uniform"
    """How a bundle's advantage is split among its groups."""

    @model_validator(mode="after")
    def _check_quantiles(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}: it must be less")
        return self

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Judge each bundle."""
        returns, relative = table.per_trajectory(rewards), np.zeros(table.num_trajectories)
        first = np.searchsorted(table.group, np.arange(table.num_groups))
        member = np.arange(len(returns)) - first[table.group]
        for bundle in range(0, table.num_groups, self.bundle):
            rows = np.flatnonzero((table.group >= bundle) & (table.group < bundle + self.bundle))
            relative[rows] = self._judge(returns[rows], table.group[rows] - bundle, member[rows])
        size = np.bincount(table.group)[table.group]
        return relative if self.singletons == "raw" else np.where(size > 1, relative, 0.0)

    def _judge(self, returns: Floats, group: Ints, member: Ints) -> Floats:
        """Return the advantage of each trajectory of one bundle."""
        mean = np.bincount(group, weights=returns) / np.maximum(np.bincount(group), 1)
        papers = np.repeat(mean[:, None], member.max() + 1, axis=1)
        papers[group, member] = returns
        sums = papers.sum(axis=0)
        if len(sums) < 2 or np.ptp(sums) < EPS:
            return np.zeros(len(returns))
        advantages = self._risk(sums)[member]
        if self.share == "uniform":
            return advantages
        parts = papers - mean[:, None]
        whole = parts.sum(axis=0)
        cancels = np.abs(whole) < EPS
        ratio = np.where(cancels, 1 / len(mean), parts / np.where(cancels, 1.0, whole))
        return advantages * ratio[group, member]

    def _risk(self, sums: Floats) -> Floats:
        low, high = np.quantile(sums, [self.low, self.high])
        middle = ((sums - low).clip(0) - (sums - high).clip(0)) / (self.high - self.low + EPS)
        worst = -(low - sums).clip(0) / (self.low + EPS)
        return np.asarray((self.mix * worst + middle) / (self.mix + 1) / (sums.std(ddof=1) + EPS))
