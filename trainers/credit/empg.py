"""EMPG: sure steps weigh more, and steps that lead to sure ones are rewarded."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    ROUNDING,
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    following,
    sampled,
)
from agentgym.trainers.credit.refined import GRPO, AnyRefinedCredit


class EMPG(CreditConfig):
    """Scales the advantages of any estimator by the entropy of its steps.

        h = (H - min H) / (max H - min H + 1e-8)        H: mean token entropy of a step
        g = exp(-k h) / (mean exp(-k h) + 1e-8)         f = exp(-k_future h)
        B_{i,t} = A_{i,t} g_{i,t} + zeta f_{i,t+1}      A'_{i,t} = B_{i,t} - mean B

    Minima, maxima and means are over all steps of the batch that sampled a token; the others have
    no advantage and no f, and neither has what would come after the last step. Where all entropies are equal only the bonus is left: g = f = 1. Where every advantage of
    the batch is 0 they stay 0.

    Source: arXiv:2509.09265, equations 7 to 12, by way of two public copies of its listing that
    agree, and a survey; numbers reproduced. Copies that take H over padding, or scale the whole
    batch for each segment, are mistaken.
    """

    name: Literal["empg"] = "empg"
    sureness: ClassVar[Sureness] = "second-hand"
    requires: ClassVar[tuple[str, ...]] = ("entropy",)
    k: float = Field(default=1.0, ge=0)
    """How much more sure steps weigh."""
    k_future: float = Field(default=1.0, ge=0)
    """How fast the bonus falls with the entropy of the next step."""
    zeta: float = Field(default=0.1, ge=0)
    """Weight of the bonus."""
    base: AnyRefinedCredit = GRPO()
    """What is scaled."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [S]."""
        return self.modulate(table, self.base(table, rewards))

    def modulate(self, table: StepTable, advantages: Floats) -> Floats:
        """Scale advantages [S]."""
        assert table.entropy is not None, "it is required"
        if not (np.abs(advantages) > ROUNDING).any():
            return np.zeros_like(advantages)
        counted = sampled(table)
        low, high = table.entropy[counted].min(), table.entropy[counted].max()
        surprise = np.where(counted, (table.entropy - low) / (high - low + 1e-8), 0.0)
        weight = np.exp(-self.k * surprise)
        weight /= weight[counted].mean() + 1e-8
        bonus = following(np.where(counted, np.exp(-self.k_future * surprise), 0.0), table)
        scaled = advantages * weight + self.zeta * bonus
        return np.where(counted, scaled - scaled[counted].mean(), 0.0)
