"""Alarms: what tells that a shaped reward is being hacked, from a batch and the ones before it.

Pure functions. An alarm is a hint to look, not a proof.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from agentgym.trainers.shaping.base import OUTCOME, Bools, Floats, Shaped, StepTable, totals
from agentgym.trainers.shaping.history import Batch

_MIN_BATCHES = 10  # the normal approximation of the trend test is good from here on
_MIN_PAIRS = 8  # fewer, and one odd episode would raise the alarm
_MIN_MIXED = 4  # groups: one odd pair of near-equal outcomes must not be all there is to see
_FAR = 2.326  # one-sided 1%; both trends by chance, were they independent: once in 10,000 looks
_MOST = 0.9  # of the variance


class Alarm(NamedTuple):
    """What was looked for, and whether it is so."""

    name: str
    is_on: bool
    words: str
    """What is wrong where it is on."""


def alarms(
    table: StepTable, shaped: Shaped, batches: Sequence[Batch], *, success: float
) -> list[Alarm]:
    """Return every alarm; `batches` end with that of the table.

    `success` is the outcome that counts as one.
    """
    term = dominating(table, shaped.terms)
    return [
        Alarm(
            "diverging",
            is_diverging(batches),
            "the shaped return rises while the outcome falls: a term is paid for something else",
        ),
        Alarm(
            "dominating",
            term is not None,
            f"the term {term!r} makes nearly all of the difference between trajectories, "
            "also where outcomes differ: lower its weight or gate it",
        ),
        Alarm(
            "short_failures",
            pays_short_failures(table, shaped.rewards, success=success),
            "short failures are paid above longer successes: giving up early is rewarded",
        ),
    ]


def is_diverging(batches: Sequence[Batch]) -> bool:
    """Return whether shaped returns rise and outcomes fall over the batches.

    Both by the Mann-Kendall test, one-sided at 1%, from ten batches on. It asks for a direction
    and not for a line, and a single wild batch does not sway it; a weight that a schedule raises
    makes a trend of its own, but does not make outcomes fall.
    """
    if len(batches) < _MIN_BATCHES:
        return False
    rewards = np.array([batch.reward for batch in batches])
    outcomes = np.array([batch.outcome for batch in batches])
    return trend(rewards) > _FAR and trend(outcomes) < -_FAR


def trend(values: Floats) -> float:
    """Return the statistic z of the Mann-Kendall test: standard normal where there is no trend.

        S = sum_{i<j} sign(x_j - x_i)        z = (S - sign S) / sqrt(var S)
        var S = (n (n - 1) (2 n + 5) - sum over ties of size t of t (t - 1) (2 t + 5)) / 18

    Equal values give 0. Source: Mann 1945, Kendall 1975; the correction for ties is Kendall's.

    >>> round(trend(np.arange(10.0)), 2), trend(np.ones(10))
    (3.94, 0.0)
    """
    score = float(np.triu(np.sign(values[None, :] - values[:, None]), 1).sum())
    _, ties = np.unique(values, return_counts=True)
    sizes = np.concatenate([[len(values)], ties]).astype(np.float64)
    terms = sizes * (sizes - 1) * (2 * sizes + 5)
    variance = (terms[0] - terms[1:].sum()) / 18
    return float((score - np.sign(score)) / np.sqrt(variance)) if variance > 0 else 0.0


def dominating(table: StepTable, terms: Mapping[str, Floats]) -> str | None:
    """Return the term that alone makes the advantages differ, or None; never the outcome.

    Looked at are the groups whose outcomes differ: where all failed, the other terms are the only
    signal there is; with fewer than four of them there is too little to tell. A term dominates
    with more than 0.9 of the variance there.
    """
    if np.count_nonzero(_mixed_groups(table)) < _MIN_MIXED:
        return None
    shares = variance_shares(table, terms)
    worst = max(shares, key=shares.__getitem__, default=OUTCOME)
    return worst if worst != OUTCOME and shares[worst] > _MOST else None


def variance_shares(table: StepTable, terms: Mapping[str, Floats]) -> dict[str, float]:
    """Return the share of each shaped term [S] in the variance of the advantages.

    The advantages are those that estimators start from, returns less the mean of the group, in
    the groups whose outcomes differ; the share is the term's covariance with them over their
    variance. The shares add up to 1; one is negative where the term works against the sum.
    Empty where nothing varies.
    """
    counts = _mixed_groups(table)[table.group]
    parts = {
        name: np.where(counts, _centered(table, table.per_trajectory(values)), 0.0)
        for name, values in terms.items()
    }
    whole = sum(parts.values(), np.zeros(table.num_trajectories))
    variance = float(whole @ whole)
    if variance < 1e-16:
        return {}
    return {name: float(part @ whole) / variance for name, part in parts.items()}


def pays_short_failures(table: StepTable, rewards: Floats, *, success: float) -> bool:
    """Return whether failures are mostly paid above longer successes at the same task.

    Compared is every pair of a failure and a success with more steps in one group. It is on where
    in more than half of at least eight such pairs the failure has the higher shaped return.
    """
    returns, is_success = table.per_trajectory(rewards), totals(table, OUTCOME) >= success
    num_pairs = num_wrong = 0
    bounds = np.searchsorted(table.group, np.arange(table.num_groups + 1))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = slice(first, last)
        pairs = ~is_success[rows, None] & is_success[None, rows]
        pairs &= table.lengths[rows, None] < table.lengths[None, rows]
        num_pairs += int(pairs.sum())
        num_wrong += int((pairs & (returns[rows, None] > returns[None, rows])).sum())
    return num_pairs >= _MIN_PAIRS and 2 * num_wrong > num_pairs


def _mixed_groups(table: StepTable) -> Bools:
    """Return for each group whether its outcomes differ."""
    differs = np.abs(_centered(table, totals(table, OUTCOME))) > 1e-8
    return np.bincount(table.group, weights=differs, minlength=table.num_groups) > 0


def _centered(table: StepTable, values: Floats) -> Floats:
    """Subtract the mean of its group from each trajectory's value [M]."""
    size = np.maximum(np.bincount(table.group, minlength=table.num_groups), 1)
    sums = np.bincount(table.group, weights=values, minlength=table.num_groups)
    return np.asarray(values - (sums / size)[table.group])
