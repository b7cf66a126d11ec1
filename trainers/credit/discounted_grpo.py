"""GRPO on discounted returns: the control for methods that discount."""

from typing import ClassVar, Literal

from pydantic import Field

from agentgym.trainers.credit.base import (
    Floats,
    StepTable,
    Sureness,
    TrajectoryCredit,
    center,
    discounted_returns,
)


class DiscountedGRPO(TrajectoryCredit):
    """GRPO whose return is discounted to the first step.

        R_i = sum_t gamma^t r_{i,t}        A_{i,t} = (R_i - mean_j R_j) / (std_j R_j + 1e-6)

    Not from a paper. A late reward counts less, so short episodes are preferred; any method with
    a discount gains that too, and what it gains beyond this control is its credit assignment.
    """

    name: Literal["discounted_grpo"] = "discounted_grpo"
    sureness: ClassVar[Sureness] = "own"
    gamma: float = Field(default=0.95, gt=0, le=1)
    """1 is GRPO."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the discounted returns within each group."""
        returns = discounted_returns(table, rewards, gamma=self.gamma)[table.step_start[:-1]]
        return center(returns, table.group, scale=True)
