"""GRAFT: the values of a graph of states solve its Bellman equation, and steps have its errors."""

import math
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
    center_steps,
    following,
    group_stats,
    number_rows,
    number_states,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit

_PRECISION = 1e-16  # what a float can tell apart
_SPARE_SWEEPS = 50


class GRAFT(CreditConfig):
    """How much better a step's successor is than that of the others that left the same state.

        The states of a group are nodes, its steps edges, counted as often as they were taken; the
        last step of a trajectory leads to an end of its own.
        V(s) = mean of r + gamma V(s') over the steps that leave s, V(end) = 0: solved exactly
        A_{i,t} = r_t + gamma V(s_{t+1}) - V(s_t)
        A^S_{i,t} = (A - mean) / (std + 1e-6)    among the group's steps from an equal state
        A'_{i,t} = base_weight base_i + step_weight A^S_{i,t}

    Unlike `td_state`, V goes on where any trajectory went on: a failure that reached a state from
    which others succeed is worth as much there. A step alone at its state, or without a key, has
    A^S = 0, so that where states seldom recur little is left; `base_weight` adds the trajectory's
    advantage then.

    There is no lambda. The paper's GAE on the graph adds to A, for each k, (gamma lambda)^k times
    the mean A of the edges that can be reached in k hops. Those are all edges of whole nodes, and
    the sum of A over all edges of a node is 0, for that is what V solves; so each term is 0.

    Source: "Back to the Definition: Estimating Step-Level Advantages via Trajectory Graphs for
    Agentic Reinforcement Learning" (Yao, Fu, Liu, Zhang), its text read; its code, announced at
    github.com/xcyao00/GRAFT, was not found. Deviations: the paper pays at the end's node, and V
    there is the reward; here the last step has it, as any step may, and values and errors are
    those of the paper over gamma, which the division takes out. Which std it means is not known:
    the unbiased one is taken. The default of gamma is not the paper's. Its loss is `gspo`.
    """

    name: Literal["graft"] = "graft"
    sureness: ClassVar[Sureness] = "text"
    always_discounts: ClassVar[bool] = True
    switches: ClassVar[Mapping[str, str]] = {"base": "base_weight", "gamma": "step_weight"}
    gamma: float = Field(default=0.95, gt=0, lt=1)
    """Discount from step to step; below 1, as states may lead back to themselves."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    base_weight: float = Field(default=0.0, ge=0)
    """Weight of the trajectory's advantage; the paper has none."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        steps = self.step_advantages(table, rewards)
        return np.asarray(self.base_weight * relative + self.step_weight * steps)

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^S for each step, [S]."""
        states = number_states(table)
        return center_steps(table, self.td_errors(table, rewards, states), states, scale=True)

    def td_errors(self, table: StepTable, rewards: Floats, states: Ints) -> Floats:
        """Return A for each step, [S], where `states` numbers the states they leave."""
        end = int(states.max(initial=-1)) + 1
        targets = following(states, table, last=end)
        values = self._values(group_stats(rewards, states).mean, states, targets)
        return np.asarray(rewards + self.gamma * values[targets] - values[states])

    def _values(self, earned: Floats, states: Ints, targets: Ints) -> Floats:
        """Return V of each state and of the end, which is the last one.

        `earned`: the mean reward of the steps that leave each state. Each sweep leaves at most
        gamma of the error; they end where nothing changes any more.
        """
        edges = number_rows(states, targets)
        first = np.unique(edges, return_index=True)[1]
        sources, targets = states[first], targets[first]
        share = self.gamma * np.bincount(edges) / np.bincount(states)[sources]
        values = np.append(earned, 0.0)
        for _ in range(math.ceil(math.log(_PRECISION) / math.log(self.gamma)) + _SPARE_SWEEPS):
            after = np.bincount(sources, share * values[targets], minlength=len(earned)) + earned
            if (after == values[:-1]).all():
                break
            values[:-1] = after
        return values
