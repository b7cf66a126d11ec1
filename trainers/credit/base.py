"""What estimators of credit are made of: the table, statistics of groups, returns.

An estimator file imports this module and no other of the framework. Everything here is numpy
over whole columns; nothing loops over steps.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from agentgym.errors import ConfigError
from agentgym.table import Bools, Floats, Ints, StepTable

__all__ = [
    "EPS",
    "Bools",
    "CreditConfig",
    "Floats",
    "GroupStats",
    "Ints",
    "Singletons",
    "StepTable",
    "TrajectoryCredit",
    "center",
    "discounted_returns",
    "equal_groups",
    "group_stats",
    "leave_one_out",
    "number_rows",
    "unshared",
]

EPS = 1e-6
"""Added to a standard deviation before dividing by it."""

Singletons = Literal["zero", "raw"]
"""Advantage of a group of one: 0, or its raw value as verl and verl-agent have it."""


class CreditConfig(BaseModel, ABC, extra="forbid", frozen=True):
    """An estimator: its settings, and a pure function of table and rewards.

    A subclass declares `name: Literal[...]` and implements `advantages`; callers call the object.
    A truncated trajectory is treated as a terminated one: nothing is bootstrapped.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    """Optional columns of the table that must be there."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Optional columns that it needs, or what it is built on."""
        parts = (getattr(self, name) for name in type(self).model_fields)
        nested = (part.columns for part in parts if isinstance(part, CreditConfig))
        return tuple(dict.fromkeys([*self.requires, *(name for each in nested for name in each)]))

    def __call__(self, table: StepTable, rewards: Floats) -> Floats:
        """Return an advantage for each step, or for each sampled token.

        Args:
            table: the steps.
            rewards: [S], shaped rewards.

        Returns:
            [S], or [N] in the order of `table.token_start`; float64, finite.

        Raises:
            ConfigError: a column that the estimator requires is missing.
            ValueError: a reward is not finite, or there is not one for each step.
        """
        for column in self.requires:
            if getattr(table, column) is None:
                raise ConfigError(
                    f"{type(self).__name__} needs the column {column!r} of the table",
                    hint=f"switch the annotation {column!r} on, or choose another estimator",
                )
        return self.advantages(table, _checked(table, rewards))

    @abstractmethod
    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [S] or [N] for rewards [S] that are known to be finite float64."""


class TrajectoryCredit(CreditConfig):
    """An estimator that tells trajectories of a group apart, and not the steps of one.

    It is what methods that look inside of trajectories start from.
    """

    @abstractmethod
    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [M]: how much better each trajectory was."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Give every step its trajectory's advantage."""
        return self.relative(table, rewards)[table.trajectory]


class GroupStats(NamedTuple):
    """Statistics of K groups."""

    size: Ints
    """[K]"""
    mean: Floats
    """[K]; 0 for an empty group."""
    std: Floats
    """[K], unbiased; exactly 0 where all values are equal and for a group of one."""


def group_stats(values: Floats, groups: Ints) -> GroupStats:
    """Return the statistics of `values` [n] by their group numbers [n], dense from 0."""
    size = np.bincount(groups)
    shift = np.zeros(len(size))
    shift[groups] = values  # one value of each group, so that equal values differ by exactly 0
    distance = np.bincount(groups, weights=values - shift[groups], minlength=len(size))
    mean = shift + distance / np.maximum(size, 1)
    squares = np.bincount(groups, weights=(values - mean[groups]) ** 2, minlength=len(size))
    return GroupStats(size, mean, np.sqrt(squares / np.maximum(size - 1, 1)))


def center(values: Floats, groups: Ints, *, scale: bool, singletons: Singletons = "zero") -> Floats:
    """Subtract the mean of its group from each value; if `scale`, divide by its std + EPS.

    Equal values give exactly 0. `singletons="raw"` takes mean 0 and std 1 for a group of one.

    >>> center(np.array([1.0, 0.0, 5.0]), np.array([0, 0, 1]), scale=False)
    array([ 0.5, -0.5,  0. ])
    """
    size, mean, std = group_stats(values, groups)
    if singletons == "raw":
        mean, std = np.where(size == 1, 0.0, mean), np.where(size == 1, 1.0, std)
    centered = values - mean[groups]
    return centered / (std[groups] + EPS) if scale else centered


def leave_one_out(values: Floats, groups: Ints, *, singletons: Singletons = "zero") -> Floats:
    """Subtract from each value the mean of the *other* values of its group."""
    count = np.bincount(groups)[groups]
    advantages = center(values, groups, scale=False) * count / np.maximum(count - 1, 1)
    return np.where(count == 1, values, advantages) if singletons == "raw" else advantages


def discounted_returns(table: StepTable, rewards: Floats, *, gamma: float) -> Floats:
    """Return [S]: sum over k >= t of gamma^(k - t) r_k, inside each trajectory.

    After the pass with shift d, entry t holds the sum over its next 2d steps; so log2 of the
    longest trajectory passes are enough.
    """
    returns = np.array(rewards, dtype=np.float64)
    following = table.lengths[table.trajectory] - 1 - table.step
    shift, longest = 1, int(table.lengths.max(initial=0))
    while shift < longest:
        carried = np.where(following[:-shift] >= shift, returns[shift:], 0.0)
        returns[:-shift] += gamma**shift * carried
        shift *= 2
    return returns


def equal_groups(table: StepTable, rewards: Floats, *, tolerance: float = 1e-8) -> Bools:
    """Return for each group whether its returns are all equal, so that they teach nothing."""
    deviation = center(table.per_trajectory(rewards), table.group, scale=False)
    differs = np.bincount(table.group, weights=np.abs(deviation) > tolerance)
    return np.asarray(differs == 0)


def number_rows(*columns: Ints) -> Ints:
    """Number the rows of `columns` (each [n]) from 0: equal numbers mean equal rows.

    >>> number_rows(np.array([7, 7, 8]), np.array([1, 1, 1]))
    array([0, 0, 1])
    """
    numbers = np.zeros(len(columns[0]), dtype=np.int64)
    if not len(numbers):
        return numbers
    for column in columns:
        span = int(column.max()) - int(column.min()) + 1
        _, numbers = np.unique(numbers * span + (column - column.min()), return_inverse=True)
    return numbers.astype(np.int64)


def unshared(keys: Ints) -> Ints:
    """Replace each missing key (-1) of a column by one that no other row has."""
    return np.where(keys < 0, -1 - np.arange(len(keys)), keys)


def _checked(table: StepTable, rewards: Floats) -> Floats:
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.shape != (table.num_steps,):
        raise ValueError(f"expected {table.num_steps} rewards, got the shape {rewards.shape}")
    wrong = np.flatnonzero(~np.isfinite(rewards))
    if len(wrong):
        row = int(wrong[0])
        trajectory = table.trajectory_ids[table.trajectory[row]]
        raise ValueError(
            f"trajectory {trajectory!r} has the reward {rewards[row]} at step {table.step[row]}"
        )
    return rewards
