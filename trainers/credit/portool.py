"""PORTool: where trajectories part, each way is compared with the others."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    Sureness,
    center,
    group_stats,
    number_rows,
    unshared,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class PORTool(CreditConfig):
    """A trajectory's advantage plus one among the ways that leave the same point of the tree.

        r(child) = mean return of the trajectories that pass through the child
        A_fork = r(child) - mean over its siblings, itself among them
        A_{i,t} = trajectory_weight A_i + fork_weight A_fork

    Trajectories of a group form a tree: steps are one node as long as their actions and what they
    led to are equal from the start. A node without siblings has A_fork = 0.

    Source: PORTool, reconstructed from its abstract: step rewards from the correctness of
    descendants, and a fork-relative advantage. Its text could not be read; that the tree is found
    from equal prefixes, the mean as r(child), `norm` and the weights are ours.
    """

    name: Literal["portool"] = "portool"
    sureness: ClassVar[Sureness] = "reconstructed"
    switches: ClassVar[Mapping[str, str]] = {"base": "trajectory_weight"}
    trajectory_weight: float = Field(default=1.0, ge=0)
    """Of the base."""
    norm: Literal["mean_norm", "mean_std_norm"] = "mean_norm"
    """Subtract the mean of the siblings, and divide by their std or not: which is not known."""
    fork_weight: float = Field(default=1.0, ge=0)
    """Of the forks' part."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both parts."""
        relative = self.base.advantages(table, rewards)
        forks = self.fork_advantages(table, rewards)
        return self.trajectory_weight * relative + self.fork_weight * forks

    def fork_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A_fork for each step, [S]."""
        if not table.num_steps:
            return np.zeros(0)
        nodes, parents = self._tree(table)
        returns = table.per_trajectory(rewards)[table.trajectory]
        worth = group_stats(returns, nodes).mean
        one_step = np.unique(nodes, return_index=True)[1]  # of each node: siblings count once
        siblings = number_rows(parents[one_step])
        return center(worth, siblings, scale=self.norm == "mean_std_norm")[nodes]

    def _tree(self, table: StepTable) -> tuple[Ints, Ints]:
        """Number the node that each step is, and the one that it leaves: [S] each."""
        edges = number_rows(table.action, unshared(table.next_state))
        nodes, parents = np.zeros((2, table.num_steps), dtype=np.int64)
        here = table.group.copy()  # the node that each trajectory has come to
        free = table.num_groups
        for depth in range(int(table.lengths.max(initial=0))):
            rows = table.step_start[:-1][table.lengths > depth] + depth
            parents[rows] = here[table.trajectory[rows]]
            nodes[rows] = free + number_rows(parents[rows], edges[rows])
            here[table.trajectory[rows]] = nodes[rows]
            free = int(nodes[rows].max()) + 1
        return number_rows(nodes), parents
