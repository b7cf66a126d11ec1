"""RLOO: one advantage for a whole trajectory, against the others of its group."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import (
    Floats,
    Singletons,
    StepTable,
    Sureness,
    TrajectoryCredit,
    leave_one_out,
)


class RLOO(TrajectoryCredit):
    """Every step has its trajectory's return less the mean return of the others.

        A_{i,t} = R_i - mean_{j != i} R_j = G / (G - 1) (R_i - mean_j R_j)

    Source: arXiv:2402.14740; formula as in verl's code (read, and its numbers reproduced).
    Deviation: a group of one has the advantage 0, not its raw return.
    """

    name: Literal["rloo"] = "rloo"
    sureness: ClassVar[Sureness] = "run"
    singletons: Singletons = "zero"
    """`raw`: a group of one keeps its return, as in verl."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Compare each return with the others of its group."""
        returns = table.per_trajectory(rewards)
        return leave_one_out(returns, table.group, singletons=self.singletons)
