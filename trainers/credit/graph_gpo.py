"""GraphGPO: steps are judged by how near to success the state is that they lead to."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    OUTCOME,
    Bools,
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    Sureness,
    center_steps,
    number_rows,
    number_states,
    steps_left,
    unshared,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class GraphGPO(CreditConfig):
    """A trajectory's advantage plus one among the steps that leave the same state.

        The states of a group are nodes, its steps edges; the last step of a trajectory that
        succeeded leads to one more node, success. d(s) = fewest steps from s to success over edges
        of any trajectory; where there is no way, one more than the largest d there is.
        g_{i,t} = success_reward omega^(d(s_{t+1}))
        A^S_{i,t} = (g - mean) / (std + 1e-6) among the group's steps from an equal state
        A_{i,t} = base_i + step_weight A^S_{i,t}

    A group without a success has A^S = 0, and so has a step alone at its state. A state without a
    key is no other's. Success is a raw term: what a shaper pays for form does not make a failure
    arrive.

    Far from success A^S vanishes, as the spread of g falls below the 1e-6: of two ways the one that
    is a step shorter has 0.70 at a state 6 steps before success, 0.61 at 7, 0.27 at 8, 0.04 at 9
    and 0.004 at 10. A larger omega reaches farther.

    Source: arXiv:2605.26684 by way of a public reproduction, examples/graphgpo/graph_credit.py of
    redai-infra/Relax at 9545630 (read; not run), which has the 10 of `success_reward`. Equation 4
    of the paper has omega^(d + 1), which is `success_reward = 0.1`: it vanishes
    two steps earlier.
    Without `cross_steps` of the base the episode counts each trajectory once.
    """

    name: Literal["graph_gpo"] = "graph_gpo"
    sureness: ClassVar[Sureness] = "second-hand"
    omega: float = Field(default=0.1, gt=0, lt=1)
    """How much less a state is worth one step further from success."""
    success_term: str = Field(default=OUTCOME, min_length=1)
    """The raw reward term that says whether a trajectory succeeded."""
    success: float = 0.0
    """A trajectory whose term sums to more than this did."""
    success_reward: float = Field(default=10.0, gt=0)
    """What success is worth; beside the 1e-6 it decides how far A^S reaches."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def read_terms(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return `success_term`."""
        return (self.success_term,)

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        return relative + self.step_weight * self.step_advantages(table)

    def step_advantages(self, table: StepTable) -> Floats:
        """Return A^S for each step, [S]."""
        succeeded = table.per_trajectory(table.term(self.success_term)) > self.success
        arrives = succeeded[table.trajectory] & (steps_left(table) == 0)
        sources = number_states(table)
        distance = self._distances(table, arrives)
        worth = self.success_reward * self.omega**distance
        hopeful = np.bincount(table.group, weights=succeeded)[table.step_group] > 0
        return np.where(hopeful, center_steps(table, worth, sources, scale=True), 0.0)

    def _distances(self, table: StepTable, arrives: Bools) -> Floats:
        """Return for each step how far from success the state is that it leads to."""
        sources, targets = self._nodes(table)
        number = int(max(sources.max(initial=-1), targets.max(initial=-1))) + 1
        away = _steps_to(sources[arrives], sources[~arrives], targets[~arrives], number)
        distance = np.where(arrives, 0.0, away[targets])
        farthest = np.zeros(table.num_groups)
        known = np.isfinite(away[sources])
        np.maximum.at(farthest, table.step_group[known], away[sources][known])
        return np.where(np.isfinite(distance), distance, (farthest + 1)[table.step_group])

    def _nodes(self, table: StepTable) -> tuple[Ints, Ints]:
        """Number the state that each step leaves and the one it leads to, inside its group."""
        number = table.num_steps
        nodes = number_rows(
            np.concatenate([table.step_group, table.step_group]),
            unshared(np.concatenate([table.state, table.next_state])),
        )
        return nodes[:number], nodes[number:]


def _steps_to(last: Ints, sources: Ints, targets: Ints, number: int) -> Floats:
    """Return for each of `number` nodes how many edges lead to the end; infinite where none do.

    `last`: the nodes that are one edge before the end. Backwards from there, one distance at a
    time; each edge is looked at once.
    """
    away = np.full(number, np.inf)
    order = np.argsort(targets, kind="stable")
    sources, first = sources[order], np.searchsorted(targets[order], np.arange(number + 1))
    reached, distance = np.unique(last), 1
    while len(reached):
        away[reached] = distance
        edges = _ranges(first[reached], first[reached + 1])
        reached, distance = np.unique(sources[edges]), distance + 1
        reached = reached[np.isinf(away[reached])]
    return away


def _ranges(starts: Ints, stops: Ints) -> Ints:
    """Return start, start + 1 .. stop - 1 of each pair, one after the other."""
    sizes = stops - starts
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))
