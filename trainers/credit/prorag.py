"""ProRAG: outcomes and process rewards, each on its own scale."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import CreditConfig, Floats, StepTable, Sureness, compare_returns
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class ProRAG(CreditConfig):
    """A trajectory's advantage plus the standardised process reward of each step.

        A_{i,t} = base_i + beta (p_{i,t} - mu) / sqrt(var + 1e-8)
        base_i = (R_i - mean_j R_j) / (std_j R_j + 1e-4), unless it is another

    mu and var (of the population) are over all sampled tokens of the group, each with its step's
    process reward, so that long steps weigh more.

    Source: lilinwz/ProRAG, prorag/rl/trainer.py (read, and its numbers reproduced). A group of
    one has no outcome part, and a step without tokens no process part.
    """

    name: Literal["prorag"] = "prorag"
    sureness: ClassVar[Sureness] = "run"
    requires: ClassVar[tuple[str, ...]] = ("process_reward",)
    beta: float = Field(default=0.5, ge=0)
    """Weight of the process rewards; the authors' script has 0.3."""
    eps: float = Field(default=1e-4, gt=0)
    """Added to the std of the returns, where the base is `grpo`."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both granularities."""
        return self._relative(table, rewards)[table.trajectory] + self.beta * self._process(table)

    def _relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Return the advantage of each trajectory, [M]."""
        if not isinstance(self.base, GRPO):
            return self.base.relative(table, rewards)
        return compare_returns(
            table,
            table.per_trajectory(rewards),
            scale=True,
            cross_steps=self.base.cross_steps,
            singletons=self.base.singletons,
            eps=self.eps,
        )

    def _process(self, table: StepTable) -> Floats:
        assert table.process_reward is not None, "it is required"
        scores, groups = table.process_reward, table.step_group
        tokens = np.diff(table.token_start).astype(np.float64)
        counted = tokens > 0
        shift = np.zeros(table.num_groups)
        shift[groups[counted]] = scores[counted]  # so that equal scores differ by exactly 0
        total = np.maximum(np.bincount(groups, weights=tokens), 1.0)
        distance = scores - shift[groups]
        distance -= (np.bincount(groups, weights=tokens * distance) / total)[groups]
        variance = np.bincount(groups, weights=tokens * distance**2) / total
        return np.where(counted, distance / np.sqrt(variance[groups] + 1e-8), 0.0)
