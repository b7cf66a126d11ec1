"""GraphGPO: steps are judged by how near to success the state is that they lead to."""

from typing import Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    Bools,
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    center,
    number_rows,
    steps_left,
    unshared,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class GraphGPO(CreditConfig):
    """A trajectory's advantage plus one among the steps that leave the same state.

        The states of a group are nodes, its steps edges; the last step of a trajectory that
        succeeded leads to one more node, success. d(s) = fewest steps from s to success over edges
        of any trajectory; where there is no way, one more than the largest d there is.
        g_{i,t} = omega^(d(s_{t+1}))
        A^S_{i,t} = (g - mean) / (std + 1e-6) among the group's steps from an equal state
        A_{i,t} = base_i + step_weight A^S_{i,t}

    A group without a success has A^S = 0, and so has a step alone at its state. A state without a
    key is no other's.

    Source: arXiv:2605.26684 by way of a public reproduction, examples/graphgpo/graph_credit.py of
    the project Relax (read; not run). The paper's equation 4 has omega^(d + 1): the same after
    the division. Without `cross_steps` of the base the episode counts each trajectory once.
    """

    name: Literal["graph_gpo"] = "graph_gpo"
    omega: float = Field(default=0.1, gt=0, lt=1)
    """How much less a state is worth one step further from success."""
    success: float = 0.0
    """A trajectory whose rewards sum to more than this succeeded."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.relative(table, rewards)[table.trajectory]
        return relative + self.step_weight * self.step_advantages(table, rewards)

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^S for each step, [S]."""
        succeeded = table.per_trajectory(rewards) > self.success
        arrives = succeeded[table.trajectory] & (steps_left(table) == 0)
        sources = number_rows(table.step_group, unshared(table.state))
        distance = self._distances(table, arrives)
        worth = np.where(np.isfinite(distance), self.omega**distance, 0.0)
        hopeful = np.bincount(table.group, weights=succeeded)[table.step_group] > 0
        return np.where(hopeful, center(worth, sources, scale=True), 0.0)

    def _distances(self, table: StepTable, arrives: Bools) -> Floats:
        """Return for each step how far from success the state is that it leads to."""
        sources, targets = self._nodes(table)
        away = np.full(int(max(sources.max(initial=-1), targets.max(initial=-1))) + 1, np.inf)
        np.minimum.at(away, sources[arrives], 1.0)
        while True:
            nearer = away.copy()
            np.minimum.at(nearer, sources, np.where(arrives, 0.0, away[targets]) + 1)
            if (nearer == away).all():
                break
            away = nearer
        distance = np.where(arrives, 0.0, away[targets])
        farthest = np.zeros(table.num_groups)
        reached = np.isfinite(distance)
        known = np.isfinite(away[sources])
        np.maximum.at(farthest, table.step_group[known], away[sources][known])
        return np.where(reached, distance, (farthest + 1)[table.step_group])

    def _nodes(self, table: StepTable) -> tuple[Ints, Ints]:
        """Number the state that each step leaves and the one it leads to, inside its group."""
        number = table.num_steps
        nodes = number_rows(
            np.concatenate([table.step_group, table.step_group]),
            unshared(np.concatenate([table.state, table.next_state])),
        )
        return nodes[:number], nodes[number:]
