"""Bi-level GAE: from turn to turn, and inside of each turn from token to token."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import CreditConfig, Floats, StepTable, Sureness, carry_back


class BilevelGAE(CreditConfig):
    """The advantage of a turn becomes the reward at its last token, for GAE inside of the turn.

        delta_k = r_k + gamma_turn V(e_{k+1}) - V(e_k)   A_k = delta_k + gamma_turn lam A_{k+1}
        inside turn k, backwards from its last token e_k with the reward A_k + V(e_k) there:
        delta_n = r_n + gamma V_{n+1} - V_n              A_n = delta_n + gamma lam A_{n+1}

    V after the last token of a turn is 0 in the second. V is the column `token_value`. A turn
    ends where its step does, whatever it earned. A step without tokens is no turn: its reward is
    that of the turn before it, and lost before the first.

    Source: VAGEN's code, which passes an explicit mask of the ends (read, and its numbers
    reproduced). RAGEN's takes for ends where the reward is not 0: a turn that earned nothing is
    none there, and a trajectory of such turns an error.
    """

    name: Literal["bilevel_gae"] = "bilevel_gae"
    sureness: ClassVar[Sureness] = "run"
    requires: ClassVar[tuple[str, ...]] = ("token_value",)
    gamma_turn: float = Field(default=0.95, gt=0, le=1)
    """Discount from turn to turn."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount from token to token."""
    lam: float = Field(default=1.0, ge=0, le=1)
    """0: one-step errors of V; 1: returns less V."""

    @property
    def discounts(self) -> Mapping[str, float]:
        """That from turn to turn."""
        return {"gamma_turn": self.gamma_turn}

    @property
    def token_discount(self) -> float:
        """Inside of turns."""
        return self.gamma

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [N]."""
        assert table.token_value is not None, "it is required"
        values, tokens = table.token_value, np.diff(table.token_start)
        ends = table.token_start[1:][tokens > 0] - 1
        turns = self._turns(table, rewards, values[ends])
        tokens = tokens[tokens > 0]
        left = np.repeat(ends, tokens) - np.arange(len(values))
        errors = self.gamma * np.where(left > 0, np.roll(values, -1), 0.0) - values
        errors += np.where(left == 0, np.repeat(turns + values[ends], tokens), 0.0)
        return carry_back(errors, np.full(len(errors), self.gamma * self.lam), left)

    def _turns(self, table: StepTable, rewards: Floats, values: Floats) -> Floats:
        """Return the advantage of each step that has tokens, where `values` are those of turns."""
        is_turn = np.diff(table.token_start) > 0
        turn = np.cumsum(is_turn) - 1  # of each step: it, or the last one before it
        until = np.cumsum(np.bincount(table.trajectory[is_turn], minlength=table.num_trajectories))
        left = until[table.trajectory[is_turn]] - 1 - np.arange(len(values))
        first = np.concatenate([[0], until])[table.trajectory]
        owned = turn >= first
        earned = np.bincount(turn[owned], weights=rewards[owned], minlength=len(values))
        errors = earned + self.gamma_turn * np.where(left > 0, np.roll(values, -1), 0.0) - values
        return carry_back(errors, np.full(len(values), self.gamma_turn * self.lam), left)
