"""Two policies by numbers: differences of means and of success, each with a 95 % interval.

The unit of chance is the task: its episodes stand or fall together, so several of one task say
less than one each of several. With one episode per task the methods are the ones that they are
named after. Differences are always the second policy less the first.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_Z95 = 1.959963984540054
_DRAWS = 200_000_000  # tasks drawn by a bootstrap: seconds, however many tasks there are
_RESAMPLES = (1_000, 10_000)
_EXACT = 4_096  # up to this length sums are convolved term by term


class Difference(NamedTuple):
    """Two means, how far the second is above the first, and the interval around that."""

    a: float
    b: float
    difference: float
    low: float
    """NaN where a single task says nothing about others."""
    high: float


def paired_means(
    a: Floats, b: Floats, task: Ints, *, seed: int = 0, resamples: int | None = None
) -> list[Difference]:
    """Compare the columns of [n, K] pairs of episodes by a bootstrap over tasks.

    Tasks are drawn with replacement, their pairs with them. The percentile interval is expanded
    for small numbers of tasks, where it is too narrow otherwise.
    Source: T. Hesterberg, The American Statistician 69, 2015 (expanded percentile).

    Args:
        a: [n, K], what is compared, of the first policy.
        b: [n, K], the same of the second, row by row the partner.
        task: [n], the number of each pair's task, from 0 without gaps.
        seed: of the resampling.
        resamples: how many; None: as many as take seconds.
    """
    sums, counts = _by_task(b - a, task)
    drawn = _bootstrap(sums, counts, seed=seed, resamples=resamples)
    return _differences(a, b, drawn, tasks=len(counts))


def unpaired_means(
    a: Floats,
    b: Floats,
    task_a: Ints,
    task_b: Ints,
    *,
    seed: int = 0,
    resamples: int | None = None,
) -> list[Difference]:
    """Compare the columns of [n, K] and [m, K] episodes of other tasks; each is resampled alone."""
    sides = [_by_task(values, task) for values, task in ((a, task_a), (b, task_b))]
    most = max(len(counts) for _, counts in sides)
    number = _number_of_resamples(most) if resamples is None else resamples
    drawn_a, drawn_b = (
        _bootstrap(*side, seed=seed + place, resamples=number) for place, side in enumerate(sides)
    )
    tasks = min(len(counts) for _, counts in sides)
    return _differences(a, b, drawn_b - drawn_a, tasks=tasks)


def paired_rates(a: NDArray[np.bool_], b: NDArray[np.bool_], task: Ints) -> Difference:
    """Compare two shares of True among pairs: Wald's interval with two pseudo-tasks more.

    Each policy wins one of them, so that the interval has a width where all pairs are equal. With
    several pairs per task and few tasks it is wider than it need be.
    Source: D. G. Bonett and R. M. Price, J. Educ. Behav. Stat. 37, 2012; recommended by M. W.
    Fagerland et al., Stat. Med. 33, 2014.

    >>> a = np.array([1] * 8 + [0] * 13, dtype=bool)
    >>> b = np.array([1] + [0] * 7 + [1] + [0] * 12, dtype=bool)
    >>> [round(float(part), 3) for part in paired_rates(a, b, np.arange(21))]
    [0.381, 0.095, -0.286, -0.508, -0.013]
    """
    first, second = a.astype(np.float64)[:, None], b.astype(np.float64)[:, None]
    sums, counts = _by_task(second - first, task)
    middle, variance = _with_pseudo_tasks(sums[:, 0], counts, (1.0, -1.0))
    return _around(first, second, middle, variance)


def unpaired_rates(
    a: NDArray[np.bool_], b: NDArray[np.bool_], task_a: Ints, task_b: Ints
) -> Difference:
    """Compare two shares of True among other tasks: a won and a lost pseudo-task are added to each.

    Source: A. Agresti and B. Caffo, The American Statistician 54, 2000.
    """
    first, second = a.astype(np.float64)[:, None], b.astype(np.float64)[:, None]
    sides = [_by_task(values, task) for values, task in ((first, task_a), (second, task_b))]
    (low, less), (high, more) = (
        _with_pseudo_tasks(sums[:, 0], counts, (1.0, 0.0)) for sums, counts in sides
    )
    return _around(first, second, high - low, less + more)


def design_effect(won: NDArray[np.bool_], task: Ints) -> float:
    """Return how many episodes of repeated tasks say as much as one episode of a task of its own.

    At least 1, which it is where no task repeats. Two pseudo-tasks, one won and one lost, are
    counted with the others, so that it is known where all episodes ended alike.
    Source: N. Dean and M. Pagano, J. Surv. Stat. Methodol. 3, 2015 (intervals with n by it).

    >>> round(design_effect(np.repeat([True, False, True], 4), np.repeat(np.arange(3), 4)), 9)
    4.0
    """
    sums, counts = _by_task(won.astype(np.float64)[:, None], task)
    mean, variance = _with_pseudo_tasks(sums[:, 0], counts, (1.0, 0.0))
    episodes = len(won) + 2 * len(won) / len(counts)
    return max(1.0, variance * episodes / (mean * (1 - mean)))


class Verdict(NamedTuple):
    """Who is above in how many pairs, and what chance makes of it."""

    wins: int
    """Pairs in which the second is above."""
    ties: int
    losses: int
    p: float


def verdict(better: Floats, gains: Ints, task: Ints) -> Verdict:
    """Count pairs by how far the second is above the first, [n] each.

    Args:
        better: by what is counted.
        gains: successes of the second less those of the first, which p is about.
        task: the number of each pair's task, from 0 without gaps.
    """
    per_task = np.bincount(task, weights=gains).round().astype(int)
    wins, ties, losses = (int(each.sum()) for each in (better > 0, better == 0, better < 0))
    return Verdict(wins, ties, losses, flip_p(per_task.tolist()))


def flip_p(differences: Sequence[int]) -> float:
    """Return how often chance alone gives a sum as far from 0: the exact two-sided p-value.

    By chance the two policies could have changed places on any task, which flips the sign of
    its difference of successes. With one pair per task this is McNemar's exact test.

    >>> round(flip_p([1] * 9 + [-1]), 9)
    0.021484375
    """
    given = np.asarray(differences, dtype=np.int64)
    sizes, counts = np.unique(np.abs(given[given != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = _fair_binomial(count)
        chances = _convolved(chances, steps)
    sums = np.abs(np.arange(len(chances)) - len(chances) // 2)
    return min(1.0, float(chances[sums >= abs(int(given.sum()))].sum()))


def area(steps: Sequence[float], values: Sequence[float]) -> float:
    """Return the mean height of a curve: the area under it by its length.

    >>> area([0, 10, 20], [0.0, 1.0, 1.0])
    0.75
    """
    if len(steps) == 1:
        return float(values[0])
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / (x[-1] - x[0]))


def _by_task(values: Floats, task: Ints) -> tuple[Floats, Floats]:
    """Return the sums of the rows of each task, [M, K], and how many there are, [M]."""
    counts = np.bincount(task).astype(np.float64)
    columns = [np.bincount(task, weights=column) for column in values.T]
    return np.stack(columns, axis=1), counts


def _bootstrap(sums: Floats, counts: Floats, *, seed: int, resamples: int | None) -> Floats:
    """Return the means of each resample of the tasks, [R, K]."""
    tasks = len(counts)
    chance = np.random.default_rng(seed)
    number = _number_of_resamples(tasks) if resamples is None else resamples
    drawn = np.empty((number, sums.shape[1]))
    for row in drawn:
        times = np.bincount(chance.integers(0, tasks, tasks), minlength=tasks).astype(np.float64)
        row[:] = times @ sums / (times @ counts)
    return drawn


def _number_of_resamples(tasks: int) -> int:
    fewest, most = _RESAMPLES
    return min(most, max(fewest, _DRAWS // tasks))


def _differences(a: Floats, b: Floats, drawn: Floats, *, tasks: int) -> list[Difference]:
    means = zip(a.mean(axis=0).tolist(), b.mean(axis=0).tolist(), strict=True)
    lows, highs = _percentiles(drawn, tasks=tasks)
    return [
        Difference(first, second, second - first, low, high)
        for (first, second), low, high in zip(means, lows, highs, strict=True)
    ]


def _percentiles(drawn: Floats, *, tasks: int) -> tuple[list[float], list[float]]:
    if tasks < 2:
        nothing = [math.nan] * drawn.shape[1]
        return nothing, nothing
    tail = NormalDist().cdf(-_student_t(tasks - 1) * math.sqrt(tasks / (tasks - 1)))
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low.tolist(), high.tolist()


def _student_t(freedom: int) -> float:
    """Return the 97.5 % point of Student's t, by its expansion around the normal one.

    Source: Abramowitz and Stegun, 26.7.5; right to 0.04 from 2 degrees of freedom on.
    """
    z = _Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def _with_pseudo_tasks(
    sums: Floats, counts: Floats, values: tuple[float, float]
) -> tuple[float, float]:
    """Return mean and variance of the mean with two tasks more, as large as a task is."""
    size = float(counts.mean())
    sums = np.concatenate([sums, size * np.array(values)])
    counts = np.concatenate([counts, [size, size]])
    mean = sums.sum() / counts.sum()
    return float(mean), float(((sums - mean * counts) ** 2).sum() / counts.sum() ** 2)


def _around(a: Floats, b: Floats, middle: float, variance: float) -> Difference:
    first, second = float(a.mean()), float(b.mean())
    half = _Z95 * math.sqrt(variance)
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Difference(first, second, second - first, low, high)


def _fair_binomial(count: int) -> Floats:
    """Return the chances of 0 to `count` heads."""
    heads = np.arange(1, count + 1)
    ratios = np.log(count - heads + 1) - np.log(heads)
    return np.exp(np.concatenate([[0.0], np.cumsum(ratios)]) - count * math.log(2))


def _convolved(a: Floats, b: Floats) -> Floats:
    if min(len(a), len(b)) <= _EXACT:
        return np.convolve(a, b)
    length = len(a) + len(b) - 1
    size = 1 << (length - 1).bit_length()
    product = np.fft.rfft(a, size) * np.fft.rfft(b, size)
    return np.maximum(np.fft.irfft(product, size)[:length], 0.0)
