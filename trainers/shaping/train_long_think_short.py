"""A length budget that shrinks during training."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import OUTCOME
from agentgym.trainers.shaping.forms import Budget
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class TrainLongThinkShort(Preset):
    """Right answers, the use of a shrinking budget of tokens, and the format.

        R = outcome_weight R_o + length_weight R_len(l; L) + format_weight R_format
        R_len = l / L for l <= L, 1 - (l - L) / L for L < l <= 2 L, 0 above
        L = max(1, start decay^floor(progress stages))

    It rewards *using* the budget: short answers are paid less than those that fill it. The paper
    states the budget in the prompt, which is the environment's to do.

    Source: Train Long, Think Short, arXiv:2508.08940, sections 3.3 and 3.4 (read). Deviations: l
    counts the sampled tokens of all turns; the weight of the format is ours.
    """

    name: Literal["train_long_think_short"] = "train_long_think_short"
    format: str = Field(default="format", min_length=1)
    """The term of the format."""
    outcome_weight: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Of right answers; the paper studies 0.3 and 0.6."""
    length_weight: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    """Of the length; the paper studies 0.6 and 0.3."""
    format_weight: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    """Of the format."""
    start: float = Field(default=256.0, ge=1, allow_inf_nan=False)
    """Tokens of the budget at first."""
    decay: float = Field(default=0.7, gt=0, le=1)
    """What it is multiplied by after each stage."""
    stages: int = Field(default=4, ge=1)
    """Into how many equal parts the training is cut."""

    def as_terms(self) -> Terms:
        """Return the three."""
        budget = Budget(start=self.start, decay=self.decay, stages=self.stages)
        return Terms(
            terms=(
                Term(term=OUTCOME, weight=self.outcome_weight),
                Term(term="num_tokens", weight=self.length_weight, form=budget),
                Term(term=self.format, weight=self.format_weight),
            )
        )
