"""GRPO: one advantage for a whole trajectory, relative to its group."""

from typing import Literal

from agentgym.trainers.credit.base import CreditConfig, Floats, Singletons, StepTable, center


class GRPO(CreditConfig):
    """Every step has its trajectory's standardised return.

        R_i = sum_t r_{i,t}        A_{i,t} = (R_i - mean_j R_j) / (std_j R_j + 1e-6)

    Source: arXiv:2402.03300; the unbiased std is that of verl's code (read, and its numbers
    reproduced). Deviation: a group of one has the advantage 0, not its raw return.
    """

    name: Literal["grpo"] = "grpo"
    singletons: Singletons = "zero"
    """`raw`: a group of one keeps its return, as in verl."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the returns within each group."""
        returns = table.per_trajectory(rewards)
        relative = center(returns, table.group, scale=True, singletons=self.singletons)
        return relative[table.trajectory]
