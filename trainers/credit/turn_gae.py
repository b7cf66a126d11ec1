"""Turn-wise GAE: generalised advantages from turn to turn."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    carry_back,
    following,
    steps_left,
)


class TurnGAE(CreditConfig):
    """GAE with turns as the time steps; all tokens of a turn have one advantage.

        delta_t = r_t + gamma V_{t+1} - V_t        A_t = delta_t + gamma lam A_{t+1}

    V after the last turn is 0, truncated or not. V is the column `value`; nothing is whitened.

    Source: GAE, arXiv:1506.02438; over turns as in VAGEN's code (read, and its numbers
    reproduced), which takes V at the last token of a turn.
    """

    name: Literal["turn_gae"] = "turn_gae"
    sureness: ClassVar[Sureness] = "run"
    requires: ClassVar[tuple[str, ...]] = ("value",)
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount from turn to turn."""
    lam: float = Field(default=1.0, ge=0, le=1)
    """0: one-step errors of V; 1: returns less V."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [S]."""
        assert table.value is not None, "it is required"
        errors = rewards + self.gamma * following(table.value, table) - table.value
        decay = np.full(table.num_steps, self.gamma * self.lam)
        return carry_back(errors, decay, steps_left(table))
