"""How far estimates are from the truth: bias, variance, ranks and signs, with intervals.

P probes, R draws of each. Intervals are of 95 %, by the bootstrap over tasks: probes of one task
share its episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentgym.table import Bools, Floats, Ints
from agentgym.trainers.agreement import ranks

_NUM_BOOTSTRAPS = 400
_NUM_MEASURED = 200
_TINY = 1e-12


class Figure(NamedTuple):
    """A number with its interval; NaN: there is none, or one task says nothing of others."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Truth:
    """True advantages of the probes."""

    advantage: Floats
    """[P]"""
    squared_error: Floats
    """[P], of the advantage where it was sampled; 0 where it was calculated."""
    task: Ints
    """[P], dense from 0."""

    @property
    def has_sign(self) -> Bools:
        """[P], whether the sign is known: two errors away from 0."""
        least = np.maximum(2 * np.sqrt(self.squared_error), 1e-9)
        return np.asarray(np.abs(self.advantage) > least)

    @property
    def ceiling(self) -> tuple[float, float]:
        """What rank correlation with these numbers a perfect estimator would have: from, to.

        By simulation: numbers are taken for the truth and measured once more, with their errors.
        The numbers as they are give the upper end, for advantages that are equal were taken for
        different. With those of unknown sign taken for 0 it is the lower end, as if all were equal.
        """
        noise = np.random.default_rng(0).normal(size=(len(self.advantage), _NUM_MEASURED))
        noise *= np.sqrt(self.squared_error)[:, None]
        once = np.ones((1, len(self.advantage)))
        known = np.where(self.has_sign, self.advantage, 0.0)
        low, high = (
            float(_rank_correlation(each[:, None] + noise, each, once)[0])
            for each in (known, self.advantage)
        )
        return low, max(low, high)


class Quality(NamedTuple):
    """One estimator at one group size."""

    scale: Figure
    """What multiple of the truth it is in the mean; NaN where the truth is lost in its error."""
    bias: Figure
    """Of its mean, the share (as a root of squares) that is no multiple of the truth: 0 to 1.

    NaN where the mean, or the truth, is lost in its error.
    """
    variance: Figure
    """Of its square, the share that differs from draw to draw: 0 to 1."""
    rank: Figure
    """Spearman's correlation with the truth, in one draw."""
    sign_error: Figure
    """How often it has the wrong sign, where the truth has one; 0 counts half."""
    over: dict[str, Figure]
    """The rank correlation less that of other estimators, in the same groups."""
    raw_bias: float
    """Mean of estimate less truth, as they are."""
    raw_variance: float
    """Mean over probes of the variance over draws, as it is."""


def judge(
    estimates: Floats, truth: Truth, *, seed: int, others: Mapping[str, Floats] | None = None
) -> Quality:
    """Compare estimates [P, R], of at least two draws, with the truth, and with `others`."""
    weights = _bootstrap(truth.task, seed)
    rank = _rank_correlation(estimates, truth.advantage, weights)
    over = {
        name: _figure(rank - _rank_correlation(other, truth.advantage, weights))
        for name, other in (others or {}).items()
    }
    mean, variance = estimates.mean(axis=1), estimates.var(axis=1, ddof=1)
    draws = estimates.shape[1]
    signal = mean**2 - variance / draws  # the mean of few draws varies, too
    own = truth.advantage**2 - truth.squared_error
    both = weights @ (mean * truth.advantage)
    power, of_truth = _positive(weights @ signal), _positive(weights @ own)
    explained = np.clip(both**2 / (power * of_truth), 0, 1)
    noise = weights @ variance
    square = noise + np.maximum(weights @ signal, 0)
    return Quality(
        scale=_figure(both / of_truth),
        bias=_figure(np.sqrt(1 - explained)),
        variance=_figure(noise / np.maximum(square, _TINY)),
        rank=_figure(rank),
        sign_error=_figure(_sign_error(estimates, truth, weights)),
        over=over,
        raw_bias=float(np.mean(mean - truth.advantage)),
        raw_variance=float(np.mean(variance)),
    )


def _rank_correlation(estimates: Floats, advantage: Floats, weights: Floats) -> Floats:
    """Return [B]: the mean over draws of the correlation of ranks."""
    rounded = np.round(estimates, 9)  # sums in another order are no other estimates
    found = np.stack([ranks(column) for column in rounded.T], axis=1)
    true = ranks(np.round(advantage, 9))[:, None]
    found, true = found - found.mean(axis=0), true - true.mean()
    total = weights.sum(axis=1)[:, None]
    means, true_mean = weights @ found / total, weights @ true / total
    product = weights @ (found * true) / total - means * true_mean
    spread = weights @ found**2 / total - means**2
    true_spread = weights @ true**2 / total - true_mean**2
    below = np.sqrt(np.maximum(spread * true_spread, 0))
    return np.asarray(np.where(below > _TINY, product / np.maximum(below, _TINY), 0).mean(axis=1))


def _sign_error(estimates: Floats, truth: Truth, weights: Floats) -> Floats:
    """Return [B]; where no truth has a sign, a half."""
    small = np.abs(estimates) < 1e-9
    wrong = np.where(small, 0.5, estimates * truth.advantage[:, None] < 0).mean(axis=1)
    known = truth.has_sign.astype(np.float64)
    total = weights @ known
    return np.asarray(np.where(total > 0, weights @ (wrong * known) / np.maximum(total, 1), 0.5))


def _bootstrap(task: Ints, seed: int) -> Floats:
    """Return [B, P]: how often each probe counts; once in the first row, which is the sample.

    Of one task there are no others to draw: the sample stands alone.
    """
    draw, number = np.random.default_rng(seed), int(task.max()) + 1
    sample = np.ones((1, len(task)))
    if number == 1:
        return sample
    counts = draw.multinomial(number, np.full(number, 1 / number), size=_NUM_BOOTSTRAPS)
    return np.vstack([sample, counts[:, task]])


def _positive(values: Floats) -> Floats:
    """Put NaN where a mean square, less that of errors, is not above 0."""
    return np.where(values > _TINY, values, np.nan)


def _figure(values: Floats) -> Figure:
    if len(values) == 1:
        return Figure(float(values[0]), np.nan, np.nan)
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Figure(float(values[0]), float(low), float(high))
