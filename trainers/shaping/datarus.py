"""From structure to substance along a cosine."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import OUTCOME
from agentgym.trainers.shaping.schedules import Cosine
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class Datarus(Preset):
    """Two terms, the weight moving from the first to the second.

        R = w R_structure + (1 - w) R_answer
        w = end + (start - end) (1 + cos(pi min(progress / until, 1))) / 2

    Source: the cosine curriculum of Datarus-R1. Reconstructed from its abstract: start, end and
    period are ours.
    """

    name: Literal["datarus"] = "datarus"
    structure: str = Field(default="format", min_length=1)
    """The term that counts at first."""
    answer: str = Field(default=OUTCOME, min_length=1)
    """The term that counts at last."""
    start: float = Field(default=1.0, ge=0, le=1)
    """The share of the structure at first."""
    end: float = Field(default=0.0, ge=0, le=1)
    """The share of the structure at last."""
    until: float = Field(default=1.0, gt=0, le=1)
    """The progress at which it is reached."""

    def as_terms(self) -> Terms:
        """Return both, with opposite schedules."""
        falling = Cosine(until=self.until, start=self.start, end=self.end)
        rising = Cosine(until=self.until, start=1 - self.start, end=1 - self.end)
        return Terms(
            terms=(
                Term(term=self.structure, schedule=falling),
                Term(term=self.answer, schedule=rising),
            )
        )
