"""Gated rewards: what is less important counts only where what is more important went well."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agentgym.trainers.shaping.base import Bools, Shaped, ShaperConfig, StepTable, WeightedTerm


class Level(WeightedTerm, frozen=True):
    """A term with its own gate on every level below it."""

    threshold: float | None = None
    """The gate is open where the raw sum over the trajectory exceeds this; None: no gate."""
    strict: bool = True
    """False: reaching the threshold is enough."""

    def opens(self, table: StepTable) -> Bools:
        """Return where the gate is open, [M]."""
        if self.threshold is None:
            return np.ones(table.num_trajectories, dtype=np.bool_)
        totals = self.totals(table)
        return totals > self.threshold if self.strict else totals >= self.threshold


class Gated(ShaperConfig):
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

    @model_validator(mode="after")
    def _terms_are_unique(self) -> Self:
        if len({level.term for level in self.levels}) < len(self.levels):
            raise ValueError("each term may stand in one level only")
        return self

    def __call__(self, table: StepTable, *, progress: float) -> Shaped:
        """Add the levels up from the top; `progress` changes nothing."""
        rewards, gates = np.zeros(table.num_steps), {}
        is_open = np.ones(table.num_trajectories, dtype=np.bool_)
        for level in self.levels:
            values, kept = level.rewards(table), is_open[table.trajectory]
            if self.gate_positive_only:
                kept |= values < 0
            rewards += np.where(kept, values, 0.0)
            if level.threshold is not None:
                gate = level.opens(table)
                gates[level.term] = gate.astype(np.float64)
                is_open &= gate
        return Shaped(rewards, gates)
