"""Progressive rewards: what is harder counts only once what is easier is mastered."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import WeightedTerm
from agentgym.trainers.shaping.gates import Above
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class Stage(WeightedTerm, frozen=True):
    """A term, and how much of it unlocks the stages after it."""

    unlock: float = Field(default=1.0, allow_inf_nan=False)
    """The next stages count where the raw sum over the trajectory reaches this."""


class Progressive(Preset):
    """Stages from the easiest to the hardest; each counts where all before it are passed.

        R = sum_k w_k q_k prod_{j<k} [q_j >= unlock_j]

    The mirror of gated rewards: there a good outcome admits the easy terms, here the easy terms
    admit the hard ones. Stages are passed within a trajectory; `progress` plays no part.

    Source: PRS, arXiv:2512.07478. Reconstructed from its abstract (parseable calls first, then
    correct answers); its text could not be read, and its weights and thresholds are not known.
    """

    name: Literal["progressive"] = "progressive"
    stages: tuple[Stage, ...] = Field(min_length=1)
    """The terms, the easiest first."""

    def as_terms(self) -> Terms:
        """Return the stages, each behind those before it."""
        gates = tuple(
            Above(term=stage.term, threshold=stage.unlock, strict=False) for stage in self.stages
        )
        return Terms(
            terms=tuple(
                Term(term=stage.term, weight=stage.weight, scope=stage.scope, gates=gates[:number])
                for number, stage in enumerate(self.stages)
            )
        )
