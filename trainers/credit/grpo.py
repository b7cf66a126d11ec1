"""GRPO: one advantage for a whole trajectory, relative to its group."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import (
    Floats,
    Singletons,
    StepTable,
    Sureness,
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
    sureness: ClassVar[Sureness] = "run"
    cross_steps: bool = False
    """Mean and std are over steps, each with its trajectory's return, so that long ones weigh more:
    what verl-agent does with the episode's part of GiGPO."""
    singletons: Singletons = "zero"
    """`raw`: where the statistics are of one value, it is kept, as in verl."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the returns within each group."""
        return compare_returns(
            table,
            table.per_trajectory(rewards),
            scale=True,
            cross_steps=self.cross_steps,
            singletons=self.singletons,
        )
