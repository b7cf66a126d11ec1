"""GRPO: one advantage for a whole trajectory, relative to its group."""

from typing import Literal

from agentgym.trainers.credit.base import Floats, Singletons, StepTable, TrajectoryCredit, center


class GRPO(TrajectoryCredit):
    """Every step has its trajectory's standardised return.

        R_i = sum_t r_{i,t}        A_{i,t} = (R_i - mean_j R_j) / (std_j R_j + 1e-6)

    Source: arXiv:2402.03300; the unbiased std is that of verl's code (read, and its numbers
    reproduced). Deviation: a group of one has the advantage 0, not its raw return.
    """

    name: Literal["grpo"] = "grpo"
    scale: bool = True
    """False: without the division, as in Dr.GRPO, arXiv:2503.20783."""
    cross_steps: bool = False
    """Mean and std are over steps, each with its trajectory's return, so that long ones weigh more:
    what verl-agent does with the episode's part of GiGPO."""
    singletons: Singletons = "zero"
    """`raw`: where the statistics are of one value, it is kept, as in verl."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the returns within each group."""
        returns = table.per_trajectory(rewards)
        if not self.cross_steps:
            return center(returns, table.group, scale=self.scale, singletons=self.singletons)
        rows = returns[table.trajectory]
        rows = center(rows, table.step_group, scale=self.scale, singletons=self.singletons)
        return rows[table.step_start[:-1]]
