"""What shapers are made of: the table, and reward terms put on its steps.

A shaper file imports this module and no other of the framework.
"""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from agentgym.table import Bools, Floats, Ints, StepTable
from agentgym.types import OUTCOME

__all__ = [
    "OUTCOME",
    "Bools",
    "Floats",
    "Ints",
    "Shaped",
    "ShaperConfig",
    "StepTable",
    "WeightedTerm",
]


class Shaped(NamedTuple):
    """What a shaper made of a table."""

    rewards: Floats
    """[S]"""
    gates: dict[str, Floats]
    """By the term that holds the gate: [M], 1.0 where it is open and 0.0 where it is closed."""


class ShaperConfig(BaseModel, ABC, extra="forbid", frozen=True):
    """A shaper: its settings, and a pure function from the raw terms of a table to rewards.

    A subclass declares `name: Literal[...]`.
    """

    @abstractmethod
    def __call__(self, table: StepTable, *, progress: float) -> Shaped:
        """Return a reward for each step.

        Args:
            table: the steps and their raw reward terms.
            progress: share of the training that is done, 0 to 1, for schedules.
        """


class WeightedTerm(BaseModel, extra="forbid", frozen=True):
    """A reward term, how much it counts and where it is paid."""

    term: str = Field(min_length=1)
    """Its name; a term that no step of a batch has is 0 there."""
    weight: float = 1.0
    """What its values are multiplied by."""
    scope: Literal["trajectory", "step"] = "trajectory"
    """`step`: paid at the steps that earned it; `trajectory`: their sum at the last step."""

    def totals(self, table: StepTable) -> Floats:
        """Return the raw sum over each trajectory, [M]; what a gate looks at."""
        return table.per_trajectory(table.term(self.term))

    def rewards(self, table: StepTable) -> Floats:
        """Return the weighted term where it is paid, [S]."""
        if self.scope == "step":
            return self.weight * table.term(self.term)
        rewards = np.zeros(table.num_steps)
        rewards[table.step_start[1:] - 1] = self.weight * self.totals(table)
        return rewards
