"""How alike the advantages of two estimators are on the same steps, and how each is spread.

Advantages are per step [S] here; where tokens have their own, a step has their mean.
"""

from typing import NamedTuple

import numpy as np

from agentgym.table import Floats, Ints, StepTable


class Spread(NamedTuple):
    """What one estimator gave the steps of a batch."""

    coverage: float
    """Share of steps whose advantage is not 0."""
    mean_abs: float
    """Mean size of an advantage."""
    inside: float
    """Share of the variance that lies inside of trajectories; 0 where each has one advantage."""


class Agreement(NamedTuple):
    """Two estimators on the same steps. NaN: one of them gave all steps the same."""

    correlation: float
    """Of the advantages."""
    rank: float
    """Of their ranks."""
    same_sign: float
    """Share of the steps that both push the same way, or neither at all."""
    opposite: float
    """Share of the steps that one makes likelier and the other less likely."""


def per_step(advantages: Floats, table: StepTable) -> Floats:
    """Return one advantage for each step: of [N] the mean over its tokens, 0 without any."""
    if len(advantages) == table.num_steps:
        return advantages
    counts = np.diff(table.token_start)
    steps = np.repeat(np.arange(table.num_steps), counts)
    sums = np.bincount(steps, weights=advantages, minlength=table.num_steps)
    return np.asarray(sums / np.maximum(counts, 1))


def spread(advantages: Floats, trajectory: Ints) -> Spread:
    """Describe the advantages [S] of steps with their trajectories' numbers [S]."""
    if not len(advantages):
        return Spread(0.0, 0.0, 0.0)
    counts = np.maximum(np.bincount(trajectory), 1)
    shift = np.zeros(len(counts))
    shift[trajectory] = advantages  # so that equal advantages differ by exactly 0
    distance = advantages - shift[trajectory]
    distance -= (np.bincount(trajectory, weights=distance) / counts)[trajectory]
    total = float(((advantages - advantages.mean()) ** 2).sum())
    inside = float((distance**2).sum())
    return Spread(
        coverage=float((advantages != 0).mean()),
        mean_abs=float(np.abs(advantages).mean()),
        inside=min(1.0, inside / total) if total else 0.0,
    )


def agreement(a: Floats, b: Floats) -> Agreement:
    """Compare two columns [S] of the same steps."""
    if not len(a):
        return Agreement(np.nan, np.nan, 1.0, 0.0)
    signs = np.sign(a) * np.sign(b)
    return Agreement(
        correlation=correlation(a, b),
        rank=correlation(ranks(a), ranks(b)),
        same_sign=float((np.sign(a) == np.sign(b)).mean()),
        opposite=float((signs < 0).mean()),
    )


def correlation(a: Floats, b: Floats) -> float:
    """Return Pearson's correlation; NaN where a column does not vary."""
    if not len(a) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float(np.clip((a * b).sum() / size, -1.0, 1.0)) if size else float("nan")


def ranks(values: Floats) -> Floats:
    """Return the ranks from 0; equal values share the mean of theirs.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[place], dtype=np.float64)
