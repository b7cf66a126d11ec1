"""Rubrics that count where the answer is right."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import OUTCOME
from agentgym.trainers.shaping.forms import AsGiven, GroupMax
from agentgym.trainers.shaping.gates import Above
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class CGRPO(Preset):
    """The outcome, and for right answers the rubric reward relative to the group's best.

        R = (1 - alpha) R_o + alpha [R_o > 0] R_r / max_group R_r

    The maximum is over all trajectories of the group, right or wrong.

    Source: C-GRPO of THUDM/CaRR: its README, and slime/slime/rollout/sglang_rollout.py at 1c157dd
    (read). The normalised form for right answers only is reconstructed from both: the released
    code computes the normalised value and, when it counts for right answers only, as its scripts
    have it, uses the raw one; `compat = true` does the same.
    """

    name: Literal["cgrpo"] = "cgrpo"
    rubric: str = Field(default="rubric", min_length=1)
    """The term of the rubric reward."""
    alpha: float = Field(default=0.3, ge=0, le=1)
    """The share of the rubric reward."""
    compat: bool = False
    """Do not divide by the group's best, as the released code."""

    def as_terms(self) -> Terms:
        """Return both."""
        rubric = Term(
            term=self.rubric,
            weight=self.alpha,
            form=AsGiven() if self.compat else GroupMax(),
            gates=(Above(term=OUTCOME),),
        )
        return Terms(terms=(Term(term=OUTCOME, weight=1 - self.alpha), rubric))
