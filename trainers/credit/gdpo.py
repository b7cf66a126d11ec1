"""GDPO: each reward term is standardised on its own before they are added."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    Floats,
    Ints,
    StepTable,
    Sureness,
    TrajectoryCredit,
    group_stats,
)


class GDPO(TrajectoryCredit):
    """Every step has the weighted sum of its trajectory's terms, standardised term by term.

        Z_{i,k} = (R_{i,k} - mean_j R_{j,k}) / (std_j R_{j,k} + eps)    within the group, for term k
        A_{i,t} = (B_i - mean B) / (std B + eps),  B_i = sum_k w_k Z_{i,k}    over the batch

    A term of small spread is heard as well as one of large spread; adding the terms first and
    standardising after, as GRPO does, drowns it. It looks at the raw terms: what a shaper makes
    of them plays no part. Of the terms in `weights` one at least must be in the table; `outcome`
    may be missing, where no episode of a batch came to its end.

    Source: NVlabs/GDPO, its fork of TRL (read, and its numbers reproduced). verl's variant takes two terms, no
    weights, and whitens over tokens. A group of one has Z = 0.
    """

    name: Literal["gdpo"] = "gdpo"
    sureness: ClassVar[Sureness] = "run"
    weights: dict[str, float] = Field(default_factory=dict)
    """Of the terms by name; empty: every term of the batch counts once."""
    eps: float = Field(default=1e-4, gt=0)
    """Added to a standard deviation before dividing by it."""

    def read_terms(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of `weights`, or all."""
        return tuple(self.weights) or known

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise each term, then their sum; `rewards` plays no part."""
        total = np.zeros(table.num_trajectories)
        for name in self.read_terms(table.term_names):
            returns = table.per_trajectory(table.term(name))
            total += self.weights.get(name, 1.0) * self._standardise(returns, table.group)
        return self._standardise(total, np.zeros(len(total), dtype=np.int64))

    def _standardise(self, values: Floats, groups: Ints) -> Floats:
        _, mean, std = group_stats(values, groups)
        return np.asarray((values - mean[groups]) / (std[groups] + self.eps))
