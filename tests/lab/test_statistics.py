import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from agentgym.lab.statistics import Truth, average_ranks, judge

ADVANTAGE = np.array([-0.5, -0.25, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])
TASK = np.array([0, 0, 1, 1, 2, 2, 3, 3])


def known(error: float = 0.0) -> Truth:
    return Truth(ADVANTAGE, np.full(len(ADVANTAGE), error), TASK)


def test_a_multiple_of_the_truth_is_without_bias() -> None:
    found = judge(np.repeat(3 * ADVANTAGE[:, None], 4, axis=1), known(), seed=0)
    assert found.scale.value == pytest.approx(3)
    assert found.bias.value == pytest.approx(0, abs=1e-6)
    assert found.variance.value == pytest.approx(0)
    assert found.rank.value == pytest.approx(1)
    assert found.sign_error.value == 0
    assert found.raw_bias == pytest.approx(2 * ADVANTAGE.mean())
    assert (found.rank.low, found.rank.high) == pytest.approx((1, 1))


def test_the_opposite_of_the_truth_has_all_signs_wrong() -> None:
    found = judge(np.repeat(-ADVANTAGE[:, None], 2, axis=1), known(), seed=0)
    assert found.rank.value == pytest.approx(-1)
    assert found.sign_error.value == 1
    assert found.scale.value == pytest.approx(-1)


def test_nothing_is_half_wrong_and_without_rank() -> None:
    found = judge(np.zeros((8, 3)), known(), seed=0)
    assert (found.rank.value, found.sign_error.value) == (0, 0.5)
    assert (found.scale.value, found.bias.value, found.variance.value) == (0, 1, 0)


def test_noise_is_variance_and_no_bias() -> None:
    """2 A + noise of std 1 in 4000 draws: variance 1 of the mean square 4 A^2 + 1."""
    noise = np.random.default_rng(0).normal(size=(8, 4000))
    found = judge(2 * ADVANTAGE[:, None] + noise, known(), seed=0)
    square = 4 * float(np.mean(ADVANTAGE**2))
    assert found.scale.value == pytest.approx(2, abs=0.05)
    assert found.bias.value < 0.05
    assert found.variance.value == pytest.approx(1 / (1 + square), abs=0.01)
    assert found.raw_variance == pytest.approx(1, abs=0.05)


def test_few_draws_are_not_taken_for_bias() -> None:
    """The mean of two draws has half of their variance; that is subtracted."""
    truth = np.tile(ADVANTAGE, 500)
    noise = np.random.default_rng(1).normal(size=(len(truth), 2))
    known = Truth(truth, np.zeros(len(truth)), np.arange(len(truth)) // 8)
    assert judge(truth[:, None] + noise, known, seed=0).bias.value < 0.3


def test_signs_count_where_the_truth_has_one() -> None:
    truth = known(error=0.09)  # a standard error of 0.3: 0.6 and less may be 0
    assert truth.has_sign.tolist() == [False] * 6 + [True, True]
    wrong_where_unknown = np.repeat(np.where(truth.has_sign, 1.0, -1.0)[:, None], 2, axis=1)
    assert judge(wrong_where_unknown, truth, seed=0).sign_error.value == 0
    assert known().reliability == 1
    assert 0 < truth.reliability < 1


def test_differences_are_of_the_same_tasks() -> None:
    estimates = np.random.default_rng(2).normal(size=(8, 3))
    found = judge(estimates, known(), seed=0, others={"itself": estimates})
    assert found.over["itself"] == (0, 0, 0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_ranks_are_the_mean_of_places_that_equal_values_may_have(values: list[int]) -> None:
    places = sorted(range(len(values)), key=values.__getitem__)
    expected = [
        float(np.mean([rank for rank, place in enumerate(places) if values[place] == value]))
        for value in values
    ]
    assert average_ranks(np.array(values, dtype=np.float64)).tolist() == expected


@given(arrays.arrays(np.float64, (8, 3), elements=st.floats(-1e6, 1e6)))
def test_figures_are_finite_and_within_bounds(estimates: "np.ndarray") -> None:
    found = judge(estimates, known(), seed=0)
    for figure in (found.bias, found.variance, found.sign_error):
        assert 0 <= figure.value <= 1
    assert -1 - 1e-9 <= found.rank.value <= 1 + 1e-9
    assert np.isfinite([*found.scale, *found.rank, found.raw_bias, found.raw_variance]).all()
