"""OPO: the baseline of a group weighs its trajectories by their length."""

from typing import ClassVar, Literal

import numpy as np

from agentgym.trainers.credit.base import (
    Floats,
    StepTable,
    Sureness,
    TrajectoryCredit,
    count_tokens,
)


class OPO(TrajectoryCredit):
    """Every step has its trajectory's return less a mean in which long trajectories weigh more.

        A_{i,t} = R_i - sum_j L_j R_j / sum_j L_j        L_j: sampled tokens of trajectory j

    It is the baseline of least variance where the gradient of a trajectory grows with its length.

    Source: arXiv:2505.23585; formula as in verl's code (read, and its numbers reproduced).
    Deviation: a group without a token has the plain mean. A group of one has the advantage 0.
    """

    name: Literal["opo"] = "opo"
    sureness: ClassVar[Sureness] = "run"

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Subtract the weighted mean within each group."""
        returns = table.per_trajectory(rewards)
        lengths = count_tokens(table).astype(np.float64)
        totals = np.bincount(table.group, weights=lengths)
        lengths[totals[table.group] == 0] = 1.0
        shift = np.zeros(table.num_groups)
        shift[table.group] = returns  # so that equal returns differ by exactly 0
        distance = returns - shift[table.group]
        totals = np.bincount(table.group, weights=lengths)
        baseline = np.bincount(table.group, weights=lengths * distance) / np.maximum(totals, 1.0)
        return distance - baseline[table.group]
