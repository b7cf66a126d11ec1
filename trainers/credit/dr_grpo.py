"""Dr.GRPO: GRPO without the division by the spread of its group."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import (
    Floats,
    Singletons,
    StepTable,
    Sureness,
    TrajectoryCredit,
    compare_returns,
)


class DrGRPO(TrajectoryCredit):
    """Every step has its trajectory's return less the mean of its group.

        A_{i,t} = R_i - mean_j R_j

    Nearly solved and nearly hopeless tasks weigh no more than others. The method has a second
    half, which is in the loss: tokens are summed and divided by a constant.

    Source: arXiv:2503.20783; formula as in verl's code (read, and its numbers reproduced).
    Deviation: a group of one has the advantage 0, not its raw return.
    """

    name: Literal["dr_grpo"] = "dr_grpo"
    sureness: ClassVar[Sureness] = "run"
    cross_steps: bool = False
    """The mean is over steps, each with its trajectory's return, so that long ones weigh more:
    what verl-agent does with the episode's part of GiGPO."""
    singletons: Singletons = "zero"
    """`raw`: where the mean is of one value, it is kept, as in verl."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Subtract the mean within each group."""
        return compare_returns(
            table,
            table.per_trajectory(rewards),
            scale=False,
            cross_steps=self.cross_steps,
            singletons=self.singletons,
        )
