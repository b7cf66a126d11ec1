import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

import agentgym.trainers.compare
from agentgym.trainers.compare import (
    area,
    flip_p,
    paired_means,
    paired_rates,
    unpaired_means,
    unpaired_rates,
)

pytestmark = pytest.mark.slow


def test_the_examples_of_the_docstrings_run() -> None:
    failed, attempted = doctest.testmod(agentgym.trainers.compare)
    assert attempted
    assert not failed


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def bools(ones: int, n: int) -> np.ndarray:
    return np.arange(n) < ones


# p-values


@pytest.mark.parametrize(
    ("won", "lost"), [(0, 0), (1, 0), (5, 0), (8, 2), (25, 10), (3, 3), (0, 40)]
)
def test_with_one_pair_per_task_it_is_mcnemars_exact_test(won: int, lost: int) -> None:
    ways = sum(math.comb(won + lost, each) for each in range(min(won, lost) + 1))
    p = min(1.0, 2 * ways / 2 ** (won + lost))
    assert flip_p([1] * won + [-1] * lost + [0] * 7) == pytest.approx(p, rel=1e-9)


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_it_counts_all_ways_of_changing_places(differences: list[int]) -> None:
    signs = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(each, differences, strict=True))) for each in signs]
    share = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert flip_p(differences) == pytest.approx(share, abs=1e-9)


def test_many_tasks_with_several_pairs_are_counted_too() -> None:
    chance = np.random.default_rng(0)
    differences = chance.integers(-4, 5, 30_000)
    flips = chance.choice([-1.0, 1.0], (1_000, len(differences))) @ differences
    share = (np.abs(flips) >= abs(differences.sum())).mean()
    assert flip_p(differences.tolist()) == pytest.approx(share, abs=0.05)
    assert flip_p([1] * 60_000 + [-1] * 40_000) < 1e-9


# Intervals against the formulas as they are published, and against theory


def test_the_paired_interval_of_success_is_that_of_its_formula() -> None:
    """With b = 1 and c = 7 discordant of n = 21: (b + 1)/(n + 2) and (c + 1)/(n + 2)."""
    a = np.array([1] + [1] + [0] * 7 + [0] * 12, dtype=bool)
    b = np.array([1] + [0] + [1] * 7 + [0] * 12, dtype=bool)
    found = paired_rates(a, b, np.arange(21))
    assert found.difference == pytest.approx(6 / 21)
    lost, won = 2 / 23, 8 / 23
    half = 1.959964 * math.sqrt((won + lost - (won - lost) ** 2) / 23)
    assert (found.low, found.high) == pytest.approx((won - lost - half, won - lost + half))


def test_the_unpaired_interval_of_success_is_that_of_its_formula() -> None:
    found = unpaired_rates(bools(7, 10), bools(3, 12), np.arange(10), np.arange(12))
    low, high = 8 / 12, 4 / 14
    half = 1.959964 * math.sqrt(low * (1 - low) / 12 + high * (1 - high) / 14)
    assert found.a == 0.7
    assert (found.low, found.high) == pytest.approx((high - low - half, high - low + half))


def test_equal_runs_do_not_claim_to_know_everything() -> None:
    found = paired_rates(bools(20, 20), bools(20, 20), np.arange(20))
    assert found.difference == 0
    assert found.low < -0.05 < 0.05 < found.high


def test_several_pairs_of_a_task_are_no_more_than_one() -> None:
    chance = np.random.default_rng(0)
    a, b = chance.random(50) < 0.4, chance.random(50) < 0.6
    once = paired_rates(a, b, np.arange(50))
    again = paired_rates(np.repeat(a, 4), np.repeat(b, 4), np.repeat(np.arange(50), 4))
    assert again == pytest.approx(once)
    values = chance.normal(size=(50, 2))
    zeros = np.zeros_like(values)
    once = paired_means(zeros, values, np.arange(50))
    again = paired_means(
        np.repeat(zeros, 3, axis=0), np.repeat(values, 3, axis=0), np.repeat(np.arange(50), 3)
    )
    for one, other in zip(once, again, strict=True):
        assert other == pytest.approx(one)


def test_the_bootstrap_of_many_tasks_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).exponential(size=(2_000, 1))
    (found,) = paired_means(np.zeros_like(values), values, np.arange(2_000))
    half = 1.96 * values.std() / math.sqrt(2_000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    (apart,) = unpaired_means(values[:1_000], values[1_000:], np.arange(1_000), np.arange(1_000))
    both = math.sqrt(values[:1_000].var() / 1_000 + values[1_000:].var() / 1_000)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * both, rel=0.1)


def test_the_bootstrap_of_few_tasks_agrees_with_students_t() -> None:
    values = column(-1.2, -0.4, 0.1, 0.3, 0.9, 1.6, 2.0)
    (found,) = paired_means(np.zeros_like(values), values, np.arange(7))
    half = 2.447 * values.std(ddof=1) / math.sqrt(7)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_the_same_numbers_always_give_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(size=(40, 3))
    first = paired_means(values, values[::-1], np.arange(40))
    assert first == paired_means(values, values[::-1], np.arange(40))
    assert first != paired_means(values, values[::-1], np.arange(40), seed=1)


def test_one_task_has_a_difference_and_no_interval() -> None:
    (found,) = paired_means(column(1, 2), column(2, 4), np.zeros(2, dtype=np.int64))
    assert found.difference == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


# Coverage: how often an interval holds what it is about


def share_of_hits(number: int, draw, interval) -> float:
    chance = np.random.default_rng(7)
    hits = 0
    for _ in range(number):
        truth, *data = draw(chance)
        found = interval(*data)
        hits += found.low <= truth <= found.high
    return hits / number


@pytest.mark.parametrize("tasks", [12, 60])
def test_intervals_of_paired_means_cover(tasks: int) -> None:
    def draw(chance):
        difficulty = chance.random((tasks, 1))
        a = np.repeat(difficulty, 2, axis=0) + chance.normal(size=(2 * tasks, 1))
        b = a + 0.3 + np.repeat(chance.normal(size=(tasks, 1)), 2, axis=0)
        return 0.3, a, b, np.repeat(np.arange(tasks), 2)

    covered = share_of_hits(
        300, draw, lambda a, b, task: paired_means(a, b, task, resamples=400)[0]
    )
    assert 0.91 <= covered <= 0.985


@pytest.mark.parametrize(("members", "most"), [(1, 0.985), (4, 1.0)])  # of several: too wide
def test_intervals_of_paired_success_cover(members: int, most: float) -> None:
    skill = np.random.default_rng(0).beta(0.7, 0.7, 1_000_000)
    truth = float((np.minimum(1, skill * 1.2) - skill).mean())

    def draw(chance):
        skill = np.repeat(chance.beta(0.7, 0.7, 40), members)
        a = chance.random(len(skill)) < skill
        b = chance.random(len(skill)) < np.minimum(1, skill * 1.2)
        return truth, a, b, np.repeat(np.arange(40), members)

    assert 0.92 <= share_of_hits(1_000, draw, paired_rates) <= most


def test_intervals_of_unpaired_success_cover() -> None:
    def draw(chance):
        a, b = chance.random(30) < 0.2, chance.random(50) < 0.5
        return 0.3, a, b, np.arange(30), np.arange(50)

    assert 0.93 <= share_of_hits(2_000, draw, unpaired_rates) <= 0.98


def test_p_values_are_small_as_rarely_as_they_say() -> None:
    chance = np.random.default_rng(0)
    small = 0
    for _ in range(1_000):
        skill = chance.random(40)
        wins = [chance.random((2, 40)) < skill for _ in range(3)]
        small += flip_p((sum(each[1].astype(int) - each[0] for each in wins)).tolist()) <= 0.05
    assert small / 1_000 <= 0.065


# Curves


def test_the_area_of_a_curve_weighs_steps_by_their_distance() -> None:
    assert area([0, 1, 100], [0.0, 0.0, 1.0]) == pytest.approx(0.495)
    assert area([5], [0.25]) == 0.25
