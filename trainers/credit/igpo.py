"""IGPO: a turn earns what it adds to the probability of the true answer."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    center,
    discounted_returns,
    following,
    number_rows,
    steps_left,
)


class IGPO(CreditConfig):
    """Turn rewards are gains of information; the last turn has the trajectory's return.

        p_t = exp(mean log-probability of the answer's tokens before step t)
        r_t = p_{t+1} - p_t, and for the last step sum_k r_k of the rewards given
        A_{i,t} = sum_{k>=t} gamma^(k-t) (r_{i,k} - mean) / (std + 1e-6), over the group's steps

    Source: GuoqingWang1/IGPO, scrl/llm_agent (read; its gains and, with `compat`, its advantages
    reproduced). The paper's form above is reconstructed from its abstract. Deviations of the code:
    returns do not pass from turn to turn, the baseline is the mean at the same position (of tokens
    there, of steps here), and nothing is divided by the std. A group of one step has 0.
    """

    name: Literal["igpo"] = "igpo"
    sureness: ClassVar[Sureness] = "reconstructed"
    requires: ClassVar[tuple[str, ...]] = ("answer_logprob",)
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount from turn to turn."""
    compat: bool = False
    """The advantages of the released code."""

    @property
    def discounts(self) -> Mapping[str, float]:
        """Of the rewards given only their sum counts; `gamma` is that of the gains."""
        return {"": 1.0}

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Standardise the turn rewards, and sum them up from each turn on."""
        gains = self.turn_rewards(table, rewards)
        if self.compat:
            return center(gains, number_rows(table.step_group, table.step), scale=False)
        relative = center(gains, table.step_group, scale=True)
        return discounted_returns(table, relative, gamma=self.gamma)

    def turn_rewards(self, table: StepTable, rewards: Floats) -> Floats:
        """Return r for each step, [S]."""
        assert table.answer_logprob is not None, "it is required"
        probability = np.exp(table.answer_logprob)
        returns = table.per_trajectory(rewards)[table.trajectory]
        gains = following(probability, table) - probability
        return np.where(steps_left(table) > 0, gains, returns)
