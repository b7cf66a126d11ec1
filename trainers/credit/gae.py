"""Token-level GAE: generalised advantages from token to token, across observations."""

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
    carry_back,
    whiten,
)


class GAE(CreditConfig):
    """PPO's advantages over the sampled tokens of a trajectory.

        delta_n = r_n + gamma V_{n+1} - V_n        A_n = delta_n + gamma lam A_{n+1}

    A step's reward stands at its last token; n + 1 is the next sampled token, whatever was observed
    between. V after the last token is 0. V is the column `token_value`. Advantages are whitened
    over the tokens of the batch.

    Source: arXiv:1506.02438; over observations as in verl's code (read, and its numbers
    reproduced). A step without tokens gives its reward to the last token before it; before the
    first token there is none, and the reward is lost.
    """

    name: Literal["gae"] = "gae"
    sureness: ClassVar[Sureness] = "run"
    requires: ClassVar[tuple[str, ...]] = ("token_value",)
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount from token to token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """0: one-step errors of V; 1: returns less V."""
    whitened: bool = True
    """False: as they are."""

    @property
    def discounts(self) -> Mapping[str, float]:
        """None from step to step beside that of the tokens."""
        return {"": 1.0}

    @property
    def token_discount(self) -> float:
        """Of all tokens that a trajectory sampled."""
        return self.gamma

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [N]."""
        assert table.token_value is not None, "it is required"
        values, left = table.token_value, _tokens_left(table)
        errors = _token_rewards(table, rewards) - values
        errors += self.gamma * np.where(left > 0, np.roll(values, -1), 0.0)
        advantages = carry_back(errors, np.full(len(errors), self.gamma * self.lam), left)
        if not self.whitened:
            return advantages
        return whiten(advantages, np.ones(len(advantages), dtype=np.int64))


def _tokens_left(table: StepTable) -> Ints:
    stop = table.token_start[table.step_start[1:]]
    tokens = np.diff(table.token_start[table.step_start])
    return np.repeat(stop, tokens) - 1 - np.arange(int(table.token_start[-1]))


def _token_rewards(table: StepTable, rewards: Floats) -> Floats:
    placed = np.zeros(int(table.token_start[-1]))
    last = table.token_start[1:] - 1
    belongs = last >= table.token_start[table.step_start[:-1]][table.trajectory]
    np.add.at(placed, last[belongs], rewards[belongs])
    return placed
