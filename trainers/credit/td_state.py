"""The TD error of each step, on values that trajectories of a group share by state."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    discounted_returns,
    following,
    group_stats,
    number_states,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class TDState(CreditConfig):
    """A trajectory's advantage plus how much better a state each step led to.

        V(s) = mean of the discounted returns from s over all visits in the group
        A_{i,t} = base_i + step_weight (r_t + gamma V(s_{t+1}) - V(s_t))

    The end of a trajectory has V = 0. A state without a key is no other's: its V is the return
    from there, and the error of a step between two such states is 0.

    Not from a paper: one-step temporal differences (Sutton, 1988) on the grouping of GiGPO.
    """

    name: Literal["td_state"] = "td_state"
    sureness: ClassVar[Sureness] = "own"
    switches: ClassVar[Mapping[str, str]] = {"gamma": "step_weight"}
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount from step to step."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        return relative + self.step_weight * self.step_advantages(table, rewards)

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return the TD error of each step, [S]."""
        returns = discounted_returns(table, rewards, gamma=self.gamma)
        states = number_states(table)
        values = group_stats(returns, states).mean[states] if len(states) else returns
        return np.asarray(rewards + self.gamma * following(values, table) - values)
