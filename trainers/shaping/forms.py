"""Forms: what of a term is paid. Its values, their change, or a function of their sum."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from agentgym.rewards.length import budget_reward, length_budget, overlong_penalty
from agentgym.trainers.shaping.base import Floats, Scope, StepTable, at_the_end, is_last

_SMALLEST = 1e-8  # what negative values are divided by must not blow them up


class Form(BaseModel, ABC, extra="forbid", frozen=True):
    """A pure function of one term's values."""

    scope: ClassVar[Scope | None] = None
    """The only scope that it makes sense with; None: any."""
    takes_gates: ClassVar[bool] = True
    follows_progress: ClassVar[bool] = False
    """Whether it pays otherwise as the share of the steps that are done grows."""

    @abstractmethod
    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Return what is paid, [S], for values [S] that are put where the scope says."""


class AsGiven(Form, frozen=True):
    """The values themselves."""

    name: Literal["as_given"] = "as_given"

    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Return them."""
        return values


class GroupMax(Form, frozen=True):
    """The values, divided by the largest sum in the task's group.

    Where no sum of the group is above 1e-8 they stay as they are. Source: C-GRPO, see `CGRPO`.
    """

    name: Literal["group_max"] = "group_max"

    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Divide by the maximum."""
        largest = np.zeros(table.num_groups)
        np.maximum.at(largest, table.group, table.per_trajectory(values))
        divisor = np.where(largest > _SMALLEST, largest, 1.0)
        return np.asarray(values / divisor[table.step_group])


class Potential(Form, frozen=True):
    """The change of a level; with the right gamma the optimal policy stays what it is.

        F_t = gamma phi(s_{t+1}) - phi(s_t)        phi = 0 after the last step

    The term is a level, and its value at step t is phi of the state after it: how many tests
    pass, how near the goal is. Discounted by the same gamma, the F of a trajectory add up to
    -phi(s_0) = -`initial` whatever was done, so that every policy loses the same. That holds for
    the discount of the returns that the estimator compares, and for no other: gamma 1 where it
    compares whole returns, which then do not see the potential at all. An estimator that compares
    both whole and discounted returns, as `gigpo` and `td_state` do, keeps the optimum with gamma 1
    in both only, and one that discounts from token to token with none; a training that does not
    keep it says so at its start. The potential after the last step is 0 in truncated trajectories
    too, or their returns would depend on where they were cut; so the level at the last step never
    counts.

    Source: Ng, Harada, Russell, ICML 1999, theorem 1.
    """

    scope: ClassVar[Scope | None] = "step"
    takes_gates: ClassVar[bool] = False
    name: Literal["potential"] = "potential"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """The discount of the returns that the estimator compares; 1 where it compares whole ones."""
    initial: float = Field(default=0.0, allow_inf_nan=False)
    """The level before the first step."""

    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Return F."""
        before = np.where(table.step == 0, self.initial, np.roll(values, 1))
        after = np.where(is_last(table), 0.0, values)
        return self.gamma * after - before


class Budget(Form, frozen=True):
    """How well a budget was used, which shrinks during training: 1 where all of it was, no more.

    `budget_reward` of the sum (usually of `num_tokens`) at a budget that is `start` at first and
    is multiplied by `decay` after each of `stages` equal parts of the training.

    Source: Train Long, Think Short, arXiv:2508.08940, sections 3.3 and 3.4 (read). Its budget is
    in optimiser steps: 600 of them, a stage 150.
    """

    scope: ClassVar[Scope | None] = "trajectory"
    follows_progress: ClassVar[bool] = True
    name: Literal["budget"] = "budget"
    start: float = Field(default=256.0, ge=1, allow_inf_nan=False)
    """The budget at first."""
    decay: float = Field(default=0.7, gt=0, le=1)
    """What it is multiplied by after each stage; it never falls below 1."""
    stages: int = Field(default=4, ge=1)
    """Into how many equal parts the training is cut."""

    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Return the reward at the last step."""
        budget = length_budget(progress * self.stages, start=self.start, decay=self.decay)
        sums = table.per_trajectory(values).tolist()
        return at_the_end(table, np.array([budget_reward(each, budget=budget) for each in sums]))


class Overlong(Form, frozen=True):
    """A penalty for what is too long: 0 up to max_length - cache, then falling to -1.

    `overlong_penalty` of the sum, usually of `num_tokens`. Source: DAPO, arXiv:2503.14476,
    equation 13, by way of trl's code (read).
    """

    scope: ClassVar[Scope | None] = "trajectory"
    name: Literal["overlong"] = "overlong"
    max_length: float = Field(gt=0, allow_inf_nan=False)
    """Where the penalty is complete."""
    cache: float = Field(ge=0, allow_inf_nan=False)
    """Over which length it grows; 0: at once."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cache > self.max_length:
            raise ValueError(f"cache ({self.cache}) exceeds max_length ({self.max_length})")
        return self

    def pay(self, table: StepTable, values: Floats, *, progress: float) -> Floats:
        """Return the penalty at the last step."""
        sums = table.per_trajectory(values).tolist()
        penalties = [
            overlong_penalty(each, max_length=self.max_length, cache=self.cache) for each in sums
        ]
        return at_the_end(table, np.array(penalties))


AnyForm = Annotated[AsGiven | GroupMax | Potential | Budget | Overlong, Field(discriminator="name")]
"""Any form, by its `name`."""
