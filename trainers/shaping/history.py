"""What the last optimiser steps came to: the measure of competence, and what alarms look at."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from agentgym.trainers.shaping.base import OUTCOME, Shaped, StepTable, totals

WINDOW = 30
"""Optimiser steps that are remembered: enough for a trend to show in spite of noise."""
_RECENT = 10  # of these make the competence, so that one lucky batch does not move a schedule


class Batch(NamedTuple):
    """One optimiser step, as means over its trajectories."""

    reward: float
    """Of the shaped returns."""
    outcome: float
    """Of the raw outcomes."""
    success: float
    """Share of the trajectories whose outcome reached the environment's `success`."""


class History:
    """The last `WINDOW` batches; plain numbers, so that a checkpoint can keep them."""

    def __init__(self, batches: Iterable[Sequence[float]] = ()) -> None:
        self._batches = deque((Batch(*batch) for batch in batches), maxlen=WINDOW)

    def add(self, table: StepTable, shaped: Shaped, *, success: float) -> None:
        """Take one more; `success` is the outcome that counts as one."""
        outcomes = totals(table, OUTCOME)
        reward = float(table.per_trajectory(shaped.rewards).mean())
        share = float((outcomes >= success).mean())
        self._batches.append(Batch(reward, float(outcomes.mean()), share))

    @property
    def batches(self) -> list[Batch]:
        """The batches, the oldest first."""
        return list(self._batches)

    @property
    def competence(self) -> float:
        """Mean success of the last ten batches, 0 to 1; 0 before the first."""
        recent = [batch.success for batch in self._batches][-_RECENT:]
        return float(np.mean(recent)) if recent else 0.0
