"""Schedules: what a term's weight is multiplied by, as training goes on or the policy gets better."""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator


class Schedule(BaseModel, ABC, extra="forbid", frozen=True):
    """A pure function of how far the training is."""

    @abstractmethod
    def factor(self, *, progress: float, competence: float) -> float:
        """Return what the weight is multiplied by."""

    @property
    def follows_progress(self) -> bool:
        """Whether it moves with the share of the steps that are done."""
        return False


class Constant(Schedule, frozen=True):
    """The weight as it is."""

    name: Literal["constant"] = "constant"

    def factor(self, *, progress: float, competence: float) -> float:
        """Return 1."""
        return 1.0


class _Clocked(Schedule, frozen=True):
    by: Literal["progress", "competence"] = "progress"
    """`progress`: the share of the steps that is done; `competence`: the share of recent episodes
    that succeeded, which may fall again."""

    @property
    def follows_progress(self) -> bool:
        """Whether that is its clock."""
        return self.by == "progress"

    def _now(self, progress: float, competence: float) -> float:
        return progress if self.by == "progress" else competence


class _Ramp(_Clocked, frozen=True):
    begin: float = Field(default=0.0, ge=0, le=1)
    """Up to here the factor is `start`."""
    until: float = Field(default=1.0, ge=0, le=1)
    """From here on it is `end`."""
    start: float = Field(default=1.0, allow_inf_nan=False)
    """The factor at first."""
    end: float = Field(default=0.0, allow_inf_nan=False)
    """The factor at last."""

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.begin >= self.until:
            raise ValueError(f"begin ({self.begin}) must be below until ({self.until})")
        return self

    def factor(self, *, progress: float, competence: float) -> float:
        """Return the factor on the way from `start` to `end`."""
        way = (self._now(progress, competence) - self.begin) / (self.until - self.begin)
        left = self._left(min(max(way, 0.0), 1.0))
        return self.end + (self.start - self.end) * left

    @abstractmethod
    def _left(self, way: float) -> float:
        """Return how much of the way is left, 1 to 0."""


class Linear(_Ramp, frozen=True):
    """From `start` to `end` in a straight line."""

    name: Literal["linear"] = "linear"

    def _left(self, way: float) -> float:
        return 1.0 - way


class Cosine(_Ramp, frozen=True):
    """From `start` to `end` along half a cosine: slow, fast, slow.

        w(t) = end + (start - end) (1 + cos(pi t / T)) / 2

    Source: the curriculum of Datarus-R1 is a cosine; reconstructed from its abstract: period and
    end values are ours.
    """

    name: Literal["cosine"] = "cosine"

    def _left(self, way: float) -> float:
        return (1.0 + math.cos(math.pi * way)) / 2.0


class Steps(_Clocked, frozen=True):
    """One factor after another."""

    name: Literal["steps"] = "steps"
    at: tuple[float, ...] = Field(min_length=1)
    """Where the next factor begins, ascending between 0 and 1."""
    factors: tuple[float, ...] = Field(min_length=2)
    """One more than there are in `at`: the first holds from the beginning."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if list(self.at) != sorted(set(self.at)) or not 0 <= self.at[0] <= self.at[-1] <= 1:
            raise ValueError(f"at must ascend between 0 and 1, not {list(self.at)}")
        if len(self.factors) != len(self.at) + 1:
            raise ValueError(
                f"{len(self.at)} values in at need {len(self.at) + 1} factors, "
                f"not {len(self.factors)}"
            )
        if not all(map(math.isfinite, self.factors)):
            raise ValueError(f"factors must be finite, not {list(self.factors)}")
        return self

    def factor(self, *, progress: float, competence: float) -> float:
        """Return the factor of the stretch we are in."""
        now = self._now(progress, competence)
        return self.factors[sum(now >= bound for bound in self.at)]


AnySchedule = Annotated[Constant | Linear | Cosine | Steps, Field(discriminator="name")]
"""Any schedule, by its `name`."""
