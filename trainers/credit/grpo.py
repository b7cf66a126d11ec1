"""GRPO: one advantage for a whole trajectory, relative to its group."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.credit.base import (
    EPS,
    Floats,
    Singletons,
    StepTable,
    TrajectoryCredit,
    compare_returns,
)


class GRPO(TrajectoryCredit):
    """Every step has its trajectory's standardised return.

        R_i = sum_t r_{i,t}        A_{i,t} = (R_i - mean_j R_j) / (std_j R_j + 1e-6)

    Source: arXiv:2402.03300; the unbiased std is that of verl's code (read, and its numbers
    reproduced). Deviation: a group of one has the advantage 0, not its raw return.
    """

    name: Literal["grpo"] = "grpo"
    cross_steps: bool = False
    """Mean and std are over steps, each with its trajectory's return, so that long ones weigh more:
    what verl-agent does with the episode's part of GiGPO."""
    singletons: Singletons = "zero"
    """`raw`: where the statistics are of one value, it is kept, as in verl."""
    eps: float = Field(default=EPS, gt=0)
    """Added to the std before dividing by it; 1e-4 in TRL and in ProRAG."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the returns within each group."""
        return compare_returns(
            table,
            table.per_trajectory(rewards),
            scale=True,
            eps=self.eps,
            cross_steps=self.cross_steps,
            singletons=self.singletons,
        )
