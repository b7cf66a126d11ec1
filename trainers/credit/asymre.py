"""AsymRE: a baseline below the mean, so that successes count more than failures."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import (
    Floats,
    StepTable,
    Sureness,
    TrajectoryCredit,
    equal_groups,
    group_stats,
)


class AsymRE(TrajectoryCredit):
    """Every step has its trajectory's return less a shifted mean of its group.

        A_{i,t} = R_i - (mean_j R_j + shift)

    For samples that another policy drew; with the loss `opmd` of tau = 0. A group of one, or of
    equal returns, has -shift by the formula and 0 here.

    Source: asymmetric REINFORCE, arXiv:2506.20520; the default of the shift is Trinity-RFT's
    (read), its sign is reconstructed.
    """

    name: Literal["asymre"] = "asymre"
    sureness: ClassVar[Sureness] = "reconstructed"
    shift: float = -0.1
    """Added to the mean; below 0 weighs successes more."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Subtract the shifted mean within each group."""
        returns = table.per_trajectory(rewards)
        mean = group_stats(returns, table.group).mean
        relative = returns - (mean + self.shift)[table.group]
        relative[equal_groups(table, rewards)[table.group]] = 0.0
        return relative
