"""Behaviour that counts as far as the bottom line was kept."""

from typing import Literal, Self

from pydantic import Field, model_validator

from agentgym.trainers.shaping.base import WeightedTerm
from agentgym.trainers.shaping.gates import Soft
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class SearchLLM(Preset):
    """A weighted mean of behaviour scores behind a soft gate of bottom-line scores.

        B = exp(mean_i log((s_i + delta) / (1 + delta)))
        U = sum_j w_j s'_j / sum_j w_j
        R = B U

    Without bottom-line terms B is 1. All scores are sums over a trajectory, between 0 and 1.

    Source: SearchLLM, arXiv:2603.10473, equations 1 and 2 (read in a bilingual copy); the product
    of the two is from a reader's note.
    """

    name: Literal["searchllm"] = "searchllm"
    bottom_line: tuple[str, ...] = ()
    """The terms that hold the gate: factual, safe, well-formed."""
    behaviour: tuple[WeightedTerm, ...] = Field(min_length=1)
    """The terms that are paid; only the proportions of their weights count."""
    delta: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """How much a bottom-line score of 0 leaves."""

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        weights = [each.weight for each in self.behaviour]
        if min(weights) < 0 or not sum(weights) > 0:
            raise ValueError(f"weights must be at least 0 and some above it, not {weights}")
        return self

    def as_terms(self) -> Terms:
        """Return the behaviour behind the gate."""
        total = sum(each.weight for each in self.behaviour) or 1.0
        gates = (Soft(terms=self.bottom_line, delta=self.delta),) if self.bottom_line else ()
        return Terms(
            terms=tuple(
                Term(term=each.term, weight=each.weight / total, scope=each.scope, gates=gates)
                for each in self.behaviour
            )
        )
