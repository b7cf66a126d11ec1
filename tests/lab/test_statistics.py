import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from agentgym.lab.statistics import Truth, judge
from agentgym.trainers.agreement import correlation, ranks

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
    assert (found.scale.value, found.variance.value) == (0, 0)
    assert np.isnan(found.bias)[0]  # there is no mean to be biased


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


def test_the_ceiling_is_what_the_truth_itself_would_have() -> None:
    """Six in ten advantages are 0, and the error makes a difference between them."""
    draw = np.random.default_rng(3)
    true = np.where(draw.random(200) < 0.6, 0.0, draw.normal(0, 0.38, 200))
    seen = true + draw.normal(0, 0.05, 200)
    low, high = Truth(seen, np.full(200, 0.05**2), np.arange(200)).ceiling
    assert low - 0.02 < correlation(ranks(true), ranks(seen)) < high < 0.95
    assert known().ceiling == pytest.approx((1, 1))


def test_one_task_says_nothing_of_others() -> None:
    one = Truth(ADVANTAGE, np.zeros(8), np.zeros(8, dtype=np.int64))
    estimates = np.random.default_rng(4).normal(size=(8, 3))
    found = judge(estimates, one, seed=0, others={"itself": estimates})
    for figure in (found.rank, found.variance, found.sign_error, found.over["itself"]):
        assert np.isnan(figure).tolist() == [False, True, True]


def test_what_is_lost_in_its_error_has_no_scale_and_no_bias() -> None:
    noise = np.tile([[1.0, -1.0]], (8, 2))
    assert np.isnan(judge(noise, known(), seed=0).bias).all()
    found = judge(np.repeat(ADVANTAGE[:, None], 2, axis=1), known(error=1.0), seed=0)
    assert np.isnan([*found.scale, *found.bias]).all()


def test_differences_are_of_the_same_tasks() -> None:
    estimates = np.random.default_rng(2).normal(size=(8, 3))
    found = judge(estimates, known(), seed=0, others={"itself": estimates})
    assert found.over["itself"] == (0, 0, 0)


@given(arrays.arrays(np.float64, (8, 3), elements=st.floats(-1e6, 1e6)))
def test_figures_are_finite_and_within_bounds(estimates: "np.ndarray") -> None:
    found = judge(estimates, known(), seed=0)
    assert np.isnan(found.bias.value) or 0 <= found.bias.value <= 1
    for figure in (found.variance, found.sign_error):
        assert 0 <= figure.value <= 1
    assert -1 - 1e-9 <= found.rank.value <= 1 + 1e-9
    assert np.isfinite([*found.scale, *found.rank, found.raw_bias, found.raw_variance]).all()
