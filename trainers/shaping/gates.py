"""Gates: how much of a term counts in a trajectory, by how well other terms went there."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from agentgym.trainers.shaping.base import OUTCOME, Floats, StepTable, totals


class Gate(BaseModel, ABC, extra="forbid", frozen=True):
    """A condition on raw sums over a trajectory, before weights: the outcome is known at its end."""

    @property
    @abstractmethod
    def needs(self) -> tuple[str, ...]:
        """The raw terms that hold it."""

    @abstractmethod
    def share(self, table: StepTable) -> Floats:
        """Return the share that counts, [M], 0 to 1."""


class Above(Gate, frozen=True):
    """Open where the raw sum of a term exceeds a threshold, closed elsewhere.

    The gate of G-RA (arXiv:2508.10548) and, with `strict = false`, of PRS (arXiv:2512.07478), both
    reconstructed: see `Gated` and `Progressive`.
    """

    name: Literal["above"] = "above"
    term: str = Field(default=OUTCOME, min_length=1)
    """The term that holds the gate."""
    threshold: float = Field(default=0.0, allow_inf_nan=False)
    """What its sum must exceed."""
    strict: bool = True
    """False: reaching the threshold is enough."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The one term."""
        return (self.term,)

    def share(self, table: StepTable) -> Floats:
        """Return 1 where it is open and 0 elsewhere."""
        sums = totals(table, self.term)
        is_open = sums > self.threshold if self.strict else sums >= self.threshold
        return is_open.astype(np.float64)


class Soft(Gate, frozen=True):
    """A geometric mean of scores: B = exp(mean_i log((s_i + delta) / (1 + delta))).

    One score of 0 does not close it: with three scores and delta 0.01 it leaves 0.21. A score
    moves log B by at most 1 / (m delta).

    Source: SearchLLM, arXiv:2603.10473, equations 1 and 2 (read). Scores outside of 0 to 1 are
    clipped, which the paper does not need.
    """

    name: Literal["soft"] = "soft"
    terms: tuple[str, ...] = Field(min_length=1)
    """The terms that hold it; their sums are scores between 0 and 1."""
    delta: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """How much a score of 0 leaves: the more, the softer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """All of them."""
        return self.terms

    def share(self, table: StepTable) -> Floats:
        """Return B."""
        scores = np.stack([totals(table, term) for term in self.terms]).clip(0.0, 1.0)
        logs = np.log((scores + self.delta) / (1.0 + self.delta))
        return np.asarray(np.exp(logs.mean(axis=0)))


class Score(Gate, frozen=True):
    """Open as far as the raw sum of a term: a sum of 0.5 lets half through.

    Sums outside of 0 to 1 are clipped. The gate of C-GRPO: see `CGRPO`.
    """

    name: Literal["score"] = "score"
    term: str = Field(default=OUTCOME, min_length=1)
    """The term that holds the gate; its sum is a score between 0 and 1."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The one term."""
        return (self.term,)

    def share(self, table: StepTable) -> Floats:
        """Return the sum."""
        return np.asarray(totals(table, self.term).clip(0.0, 1.0))


class NotZero(Gate, frozen=True):
    """Open where the raw sum of a term is not 0, above or below.

    The gate of C-GRPO's released code: see `CGRPO`.
    """

    name: Literal["not_zero"] = "not_zero"
    term: str = Field(default=OUTCOME, min_length=1)
    """The term that holds the gate."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The one term."""
        return (self.term,)

    def share(self, table: StepTable) -> Floats:
        """Return 1 where it is open and 0 elsewhere."""
        return np.asarray(totals(table, self.term) != 0, dtype=np.float64)


AnyGate = Annotated[Above | Soft | Score | NotZero, Field(discriminator="name")]
"""Any gate, by its `name`."""
