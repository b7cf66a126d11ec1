"""Gated rewards: what is less important counts only where what is more important went well."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.shaping.base import WeightedTerm
from agentgym.trainers.shaping.gates import Above
from agentgym.trainers.shaping.terms import Preset, Term, Terms


class Level(WeightedTerm, frozen=True):
    """A term with its own gate on every level below it."""

    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """The gate is open where the raw sum over the trajectory exceeds this; None: no gate."""
    strict: bool = True
    """False: reaching the threshold is enough."""


class Gated(Preset):
    """Levels from the most to the least important; a closed gate drops all levels below it.

        R = sum_j m_j w_j R_j        m_j = 1 where R_k > threshold_k for every k above j, else 0

    The first level always counts. Gates look at raw sums over a whole trajectory (the outcome is
    known only at its end), before weights.

    Source: G-RA, arXiv:2508.10548. Reconstructed from its abstract and from restatements; its
    text could not be read, and which levels, weights and thresholds it uses is not known.
    """

    name: Literal["gated"] = "gated"
    levels: tuple[Level, ...] = Field(min_length=1)
    """The terms, the most important first."""
    gate_positive_only: bool = False
    """A closed gate lets negative rewards through, so that failing does not excuse them."""

    def as_terms(self) -> Terms:
        """Return the levels, each behind the gates of those above it."""
        terms: list[Term] = []
        gates: tuple[Above, ...] = ()
        for level in self.levels:
            terms.append(
                Term(
                    term=level.term,
                    weight=level.weight,
                    scope=level.scope,
                    gates=gates,
                    gate_positive_only=self.gate_positive_only and bool(gates),
                )
            )
            if level.threshold is not None:
                gates += (Above(term=level.term, threshold=level.threshold, strict=level.strict),)
        return Terms(terms=tuple(terms))
