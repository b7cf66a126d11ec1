"""REINFORCE++: returns of tokens, standardised over the whole batch."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    carry_back,
    steps_left,
    whiten,
)


class ReinforcePP(CreditConfig):
    """Every token has its discounted return, whitened over all sampled tokens of the batch.

        G_n = sum over later tokens m >= n of its trajectory, gamma^(m - n) r_m
        A_n = (G_n - mean) / sqrt(var + 1e-8)

    A step's reward stands at its last token; that of a step without tokens at the last one before
    it. Groups play no part. Returns pass from turn to turn: what lies between, which the policy
    did not sample, neither ends nor discounts them.

    Source: arXiv:2501.03262; verl's code (read, and its numbers reproduced for single turns).
    Deviations: verl multiplies the running return by the mask, so that what came before an
    observation has the return 0 (a defect: not offered here); the penalty on the KL belongs to the
    loss here, and not to the reward.
    """

    name: Literal["reinforce_pp"] = "reinforce_pp"
    sureness: ClassVar[Sureness] = "run"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount from token to token."""

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
        returns = self.token_returns(table, rewards)
        return whiten(returns, np.ones(len(returns), dtype=np.int64))

    def token_returns(self, table: StepTable, rewards: Floats) -> Floats:
        """Return G for each sampled token, [N]."""
        lengths = np.diff(table.token_start)
        decay = self.gamma ** np.append(lengths[1:], 0)  # from a step's last token to the next's
        at_last_token = carry_back(rewards, decay, steps_left(table))
        step = np.repeat(np.arange(table.num_steps), lengths)
        left = table.token_start[1:][step] - 1 - np.arange(len(step))
        return self.gamma**left * at_last_token[step]
