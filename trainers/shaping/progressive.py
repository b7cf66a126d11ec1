"""Progressive rewards: what is harder counts only once what is easier is mastered."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agentgym.trainers.shaping.base import Shaped, ShaperConfig, StepTable, WeightedTerm


class Stage(WeightedTerm, frozen=True):
    """A term, and how much of it unlocks the stages after it."""

    unlock: float = 1.0
    """The next stages count where the raw sum over the trajectory reaches this."""


class Progressive(ShaperConfig):
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

    @model_validator(mode="after")
    def _terms_are_unique(self) -> Self:
        if len({stage.term for stage in self.stages}) < len(self.stages):
            raise ValueError("each term may stand in one stage only")
        return self

    def __call__(self, table: StepTable, *, progress: float) -> Shaped:
        """Add the stages up while they are unlocked."""
        rewards, gates = np.zeros(table.num_steps), {}
        is_open = np.ones(table.num_trajectories, dtype=np.bool_)
        for stage in self.stages:
            rewards += np.where(is_open[table.trajectory], stage.rewards(table), 0.0)
            gate = stage.totals(table) >= stage.unlock
            is_open &= gate
            if stage is not self.stages[-1]:
                gates[stage.term] = gate.astype(np.float64)
        return Shaped(rewards, gates)
