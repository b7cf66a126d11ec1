"""What estimators of credit are made of: the table, statistics of groups, returns.

An estimator file imports this module and no other of the framework. Everything here is numpy
over whole columns; nothing loops over steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel

from agentgym.errors import ConfigError
from agentgym.table import Bools, Floats, Ints, StepTable
from agentgym.types import OUTCOME

__all__ = [
    "EPS",
    "OUTCOME",
    "ROUNDING",
    "Bools",
    "CreditConfig",
    "Floats",
    "GroupStats",
    "Ints",
    "Singletons",
    "StepTable",
    "Sureness",
    "TrajectoryCredit",
    "carry_back",
    "center",
    "center_steps",
    "compare_returns",
    "count_tokens",
    "discounted_returns",
    "equal_groups",
    "equal_returns",
    "following",
    "group_stats",
    "leave_one_out",
    "number_rows",
    "number_states",
    "sampled",
    "steps_left",
    "unshared",
    "whiten",
]

EPS = 1e-6
"""Added to a standard deviation before dividing by it."""

MOST = 1e100
"""No reward and no column may be larger: squares of sums stay far from the largest float."""

ROUNDING = 1e-8
"""Differences up to this, of numbers up to 1, are taken for rounding; of larger ones, in proportion.

The same rewards in another order have sums that differ, and what asks for 0 must not hear that.
"""

_Column = TypeVar("_Column", Floats, Ints)

Singletons = Literal["zero", "raw"]
"""Advantage of a group of one: 0, or its raw value as verl and verl-agent have it."""


Sureness = Literal["run", "code", "text", "second-hand", "reconstructed", "own"]
"""Where a formula is from: published code whose numbers come out here; code that was read; the
paper's text; others' accounts of it; no more than an abstract, or what code seems to intend; or it is
nobody else's."""


class CreditConfig(BaseModel, ABC, extra="forbid", frozen=True, allow_inf_nan=False):
    """An estimator: its settings, and a pure function of table and rewards.

    A subclass declares `name: Literal[...]` and its `sureness`, and implements `advantages`;
    callers call the object. A truncated trajectory is treated as a terminated one: nothing is
    bootstrapped.
    """

    sureness: ClassVar[Sureness]
    """How sure it is that this is the method of that name."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Optional columns of the table that must be there."""
    always_discounts: ClassVar[bool] = False
    """Whether its `gamma` must be below 1."""
    switches: ClassVar[Mapping[str, str]] = {}
    """Setting -> the other one that must not be 0 or false for it to play a part."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Optional columns that it needs, or what it is built on."""
        return tuple(dict.fromkeys(name for part in self.parts() for name in part.requires))

    @property
    def is_reconstructed(self) -> bool:
        """Whether it, or what it is built on, may not be what its authors meant."""
        return any(part.sureness == "reconstructed" for part in self.parts())

    def missing_columns(self, table: StepTable) -> list[str]:
        """Return which of `columns` a table does not have."""
        return [name for name in self.columns if getattr(table, name) is None]

    def parts(self) -> "Iterator[CreditConfig]":
        """Yield itself, and all that it is built on."""
        yield self
        for name in type(self).model_fields:
            if isinstance(part := getattr(self, name), CreditConfig):
                yield from part.parts()

    def read_terms(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return the raw reward terms that it reads itself, of a table that has `known` ones."""
        return ()

    def plays(self, name: str) -> bool:
        """Return whether a setting plays a part beside the others."""
        return name not in self.switches or bool(getattr(self, self.switches[name]))

    def idle_settings(self) -> list[str]:
        """Return the settings that play no part, of those that are not the default."""
        fields = type(self).model_fields
        return [
            name
            for name in self.switches
            if not self.plays(name) and getattr(self, name) != fields[name].default
        ]

    @property
    def discounts(self) -> Mapping[str, float]:
        """From step to step, of each kind of return that it, or what it is built on, compares.

        By the setting that says so, such as `base.gamma`; of what compares whole returns by the
        name of that part, which is empty for itself.
        """
        found: dict[str, float] = {}
        for name in filter(self.plays, type(self).model_fields):
            value = getattr(self, name)
            if isinstance(value, CreditConfig):
                inner = value.discounts.items()
                found |= {f"{name}.{key}".rstrip("."): each for key, each in inner}
            elif name == "gamma":
                found[name] = float(value)
        return found or {"": 1.0}

    @property
    def token_discount(self) -> float:
        """From token to token; 1 where only steps count."""
        return 1.0

    def __call__(self, table: StepTable, rewards: Floats) -> Floats:
        """Return an advantage for each step, or for each sampled token.

        Args:
            table: the steps.
            rewards: [S], shaped rewards.

        Returns:
            [S], or [N] in the order of `table.token_start`; float64, finite.

        Raises:
            ConfigError: a column is missing, or no term of those that it reads is in the table.
            ValueError: a number is not finite, or above `MOST`, or a column has another shape.
        """
        rewards = _checked(table, rewards)
        for part in self.parts():
            part._check_inputs(table)
        with np.errstate(over="ignore", invalid="ignore"):
            advantages = self.advantages(table, rewards)
        if not np.isfinite(advantages).all():
            raise ValueError(
                f"{type(self).__name__} gave advantages that are not finite, of inputs that are: "
                f"its settings are out of proportion ({self!r})"
            )
        return advantages

    def _check_inputs(self, table: StepTable) -> None:
        """Look at what it reads beside the rewards, and not at what its parts read."""
        for column in self.requires:
            values = getattr(table, column)
            if values is None:
                raise ConfigError(
                    f"{type(self).__name__} needs the column {column!r} of the table",
                    hint=f"fill {column!r} in before, or choose another estimator",
                )
            _check_values(table, column, values)
        names = self.read_terms(table.term_names)
        if names and table.term_names and not {OUTCOME, *table.term_names}.intersection(names):
            raise ConfigError(
                f"{type(self).__name__} reads {_listed(names)}, and the rewards of these steps "
                f"have the terms {_listed(table.term_names)} only",
                hint="name a term that the environment gives, be it 0, in every episode",
            )
        for name in names:
            _check_values(table, f"term {name}", table.term(name))

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


def center(
    values: Floats,
    groups: Ints,
    *,
    scale: bool,
    singletons: Singletons = "zero",
    eps: float = EPS,
) -> Floats:
    """Subtract the mean of its group from each value; if `scale`, divide by its std + eps.

    Equal values give exactly 0. `singletons="raw"` takes mean 0 and std 1 for a group of one.

    >>> center(np.array([1.0, 0.0, 5.0]), np.array([0, 0, 1]), scale=False)
    array([ 0.5, -0.5,  0. ])
    """
    size, mean, std = group_stats(values, groups)
    if singletons == "raw":
        mean, std = np.where(size == 1, 0.0, mean), np.where(size == 1, 1.0, std)
    centered = values - mean[groups]
    return centered / (std[groups] + eps) if scale else centered


def center_steps(table: StepTable, values: Floats, groups: Ints, *, scale: bool) -> Floats:
    """Center values [S] of steps as `center` does; those that sampled nothing have 0.

    They are not in the statistics either: an empty step is nobody's decision.
    """
    rows = np.flatnonzero(sampled(table))
    centered = np.zeros(len(values))
    centered[rows] = center(values[rows], groups[rows], scale=scale)
    return centered


def sampled(table: StepTable) -> Bools:
    """Return which steps count in statistics over steps, [S]: those that sampled a token.

    All of them where no step did, as in episodes that were played without a model.
    """
    tokens = np.diff(table.token_start)
    return (tokens > 0) | (not tokens.any())


def compare_returns(
    table: StepTable,
    returns: Floats,
    *,
    scale: bool,
    cross_steps: bool = False,
    singletons: Singletons = "zero",
    eps: float = EPS,
) -> Floats:
    """Center returns [M] within their groups, giving [M].

    `cross_steps`: the statistics are over steps, each with its trajectory's return.
    """
    if not cross_steps:
        return center(returns, table.group, scale=scale, singletons=singletons, eps=eps)
    rows, groups = returns[table.trajectory], table.step_group
    centered = center(rows, groups, scale=scale, singletons=singletons, eps=eps)
    return centered[table.step_start[:-1]]


def whiten(values: Floats, weights: Ints) -> Floats:
    """Standardise values as if each stood there `weights` times: (x - mean) / sqrt(var + 1e-8).

    The variance is the unbiased one; equal values, and a single one, give exactly 0.
    """
    total = int(weights.sum())
    if not total:
        return np.zeros(len(values))
    shift = values[np.argmax(weights > 0)]  # so that equal values differ by exactly 0
    mean = shift + ((values - shift) * weights).sum() / total
    variance = ((values - mean) ** 2 * weights).sum() / max(total - 1, 1)
    return np.asarray((values - mean) / np.sqrt(variance + 1e-8))


def count_tokens(table: StepTable) -> Ints:
    """Return how many tokens each trajectory sampled, [M]."""
    return np.diff(table.token_start[table.step_start])


def leave_one_out(values: Floats, groups: Ints, *, singletons: Singletons = "zero") -> Floats:
    """Subtract from each value the mean of the *other* values of its group."""
    count = np.bincount(groups)[groups]
    advantages = center(values, groups, scale=False) * count / np.maximum(count - 1, 1)
    return np.where(count == 1, values, advantages) if singletons == "raw" else advantages


def discounted_returns(table: StepTable, rewards: Floats, *, gamma: float) -> Floats:
    """Return [S]: sum over k >= t of gamma^(k - t) r_k, inside each trajectory."""
    return carry_back(rewards, np.full(table.num_steps, gamma), steps_left(table))


def carry_back(values: Floats, decay: Floats, left: Ints) -> Floats:
    """Return x [n] with x_k = values_k + decay_k x_{k+1}, inside of sequences.

    `left` counts how many entries of its sequence follow each entry. After the pass with shift d,
    entry k holds the sum over its next 2d entries, and `factor` what the sum after those is
    multiplied by; so log2 of the longest sequence passes are enough.
    """
    sums, factor = np.array(values, dtype=np.float64), np.array(decay, dtype=np.float64)
    shift, longest = 1, int(left.max(initial=-1)) + 1
    while shift < longest:
        reaches = left[:-shift] >= shift
        sums[:-shift] += np.where(reaches, factor[:-shift] * sums[shift:], 0.0)
        factor[:-shift] *= np.where(reaches, factor[shift:], 0.0)
        shift *= 2
    return sums


def steps_left(table: StepTable) -> Ints:
    """Return how many steps of its trajectory follow each step, [S]."""
    return table.lengths[table.trajectory] - 1 - table.step


def following(values: _Column, table: StepTable, *, last: _Column | float = 0.0) -> _Column:
    """Return for each step the value [S] of the step after it; `last` where there is none."""
    return np.where(steps_left(table) > 0, np.roll(values, -1), last)


def equal_groups(table: StepTable, rewards: Floats, *, tolerance: float = ROUNDING) -> Bools:
    """Return for each group whether its returns are all equal, so that they teach nothing.

    `tolerance`: of returns up to 1; of larger ones in proportion.
    """
    return equal_returns(table.per_trajectory(rewards), table.group, tolerance=tolerance)


def equal_returns(returns: Floats, group: Ints, *, tolerance: float = ROUNDING) -> Bools:
    """Return the same for returns [M] of trajectories with their groups' numbers [M]."""
    deviation = np.abs(center(returns, group, scale=False))
    differs = deviation > tolerance * np.maximum(np.abs(returns), 1.0)
    return np.asarray(np.bincount(group, weights=differs) == 0)


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


def number_states(table: StepTable) -> Ints:
    """Number the states that steps leave, [S]: equal where they are equal, and of one group.

    A state without a key is no other's.
    """
    return number_rows(table.step_group, unshared(table.state))


def unshared(keys: Ints) -> Ints:
    """Replace each missing key (-1) of a column by one that no other row has."""
    return np.where(keys < 0, -1 - np.arange(len(keys)), keys)


def _checked(table: StepTable, rewards: Floats) -> Floats:
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.shape != (table.num_steps,):
        raise ValueError(f"expected {table.num_steps} rewards, got the shape {rewards.shape}")
    wrong = np.flatnonzero(~(np.abs(rewards) <= MOST))
    if len(wrong):
        row = int(wrong[0])
        trajectory = table.trajectory_ids[table.trajectory[row]]
        raise ValueError(
            f"trajectory {trajectory!r} has the reward {rewards[row]} at step {table.step[row]}; "
            f"expected one from -{MOST:g} to {MOST:g}"
        )
    return rewards


def _check_values(table: StepTable, column: str, values: Floats) -> None:
    """Refuse an optional column, or a term, of another length or with a number that is none."""
    number = {"token_value": int(table.token_start[-1]), "pool_mean": table.num_trajectories}
    expected = number.get(column, table.num_steps)
    if np.shape(values) != (expected,):
        raise ValueError(f"expected {expected} values of {column!r}, got {np.shape(values)}")
    wrong = np.flatnonzero(~(np.abs(values) <= MOST))
    if len(wrong):
        raise ValueError(
            f"{column!r} has {values[wrong[0]]} at row {wrong[0]}; "
            f"expected numbers from -{MOST:g} to {MOST:g}"
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
