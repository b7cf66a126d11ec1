"""Rubrics that count as far as the answer is right."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import OUTCOME
from agentgym.trainers.shaping.forms import AsGiven, GroupMax
from agentgym.trainers.shaping.gates import NotZero, Score
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class CGRPO(Preset):
    """The outcome, and for right answers the rubric reward relative to the group's best.

        R = (1 - alpha) R_o + alpha R_o R_r / max_group R_r

    The maximum is over all trajectories of the group, right or wrong. The outcome that the rubrics
    are multiplied by is clipped to 0 to 1, which outcomes of 0 and 1 do not need: rubrics of a
    wrong answer are worth nothing, and those of a half right one the half.

    Source: C-GRPO of THUDM/CaRR: its README, and slime/slime/rollout/sglang_rollout.py at 1c157dd
    (read). The normalised form for right answers only is reconstructed from both: the released
    code computes the normalised value and, when it counts for right answers only, as its scripts
    have it, uses the raw one, in full wherever the outcome is not 0; `compat = true` does the same.
    """

    name: Literal["cgrpo"] = "cgrpo"
    rubric: str = Field(default="rubric", min_length=1)
    """The term of the rubric reward."""
    alpha: float = Field(default=0.3, ge=0, le=1)
    """The share of the rubric reward."""
    compat: bool = False
    """As the released code: not divided by the group's best, in full where the outcome is not 0."""

    def as_terms(self) -> Terms:
        """Return both."""
        rubric = Term(
            term=self.rubric,
            weight=self.alpha,
            form=AsGiven() if self.compat else GroupMax(),
            gates=(NotZero() if self.compat else Score(),),
        )
        return Terms(terms=(Term(term=OUTCOME, weight=1 - self.alpha), rubric))
