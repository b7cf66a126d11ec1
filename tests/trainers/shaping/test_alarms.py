import doctest
from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

import agentgym.trainers.shaping.alarms
from agentgym.table import StepTable, build_table
from agentgym.trainers.shaping.alarms import (
    alarms,
    dominating,
    is_diverging,
    pays_short_failures,
    trend,
    variance_shares,
)
from agentgym.trainers.shaping.history import WINDOW, Batch, History
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.terms import Term, Terms
from agentgym.types import Group

SUM = Terms(terms=(Term(term="outcome"), Term(term="format")))
VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def test_the_examples_of_the_docstrings_run() -> None:
    failed, attempted = doctest.testmod(agentgym.trainers.shaping.alarms)
    assert attempted
    assert not failed


@given(tables())
def test_the_outcome_alone_never_raises_an_alarm_of_terms(table: StepTable) -> None:
    shaped = Outcome()(table, progress=0.0)
    found = alarms(table, shaped, [], success=1.0)
    assert [alarm.name for alarm in found] == ["diverging", "dominating", "short_failures"]
    assert not any(alarm.is_on for alarm in found)


# Shaped return against outcome


def batches(rewards: list[float], outcomes: list[float]) -> list[Batch]:
    return [Batch(*pair, success=0.0) for pair in zip(rewards, outcomes, strict=True)]


def test_a_rising_return_over_a_falling_outcome_is_diverging() -> None:
    up = [step / 10 for step in range(12)]
    assert is_diverging(batches(up, up[::-1]))
    assert not is_diverging(batches(up, up))
    assert not is_diverging(batches(up[::-1], up))
    assert not is_diverging(batches(up, [0.5] * 12))
    assert not is_diverging(batches(up[:9], up[:9][::-1]))


def test_one_wild_batch_does_not_hide_a_trend() -> None:
    up = [float(step) for step in range(20)]
    wild = [*up[:7], 1e9, *up[8:]]
    assert is_diverging(batches(wild, up[::-1]))


def test_noise_is_no_trend() -> None:
    """Of 2000 looks at pure noise of thirty batches, with both at 1%, at most a handful."""
    drawn = np.random.default_rng(0).normal(size=(2000, 2, WINDOW))
    raised = [is_diverging(batches(*pair.tolist())) for pair in drawn]
    assert sum(raised) <= 3
    zs = [trend(pair[0]) for pair in drawn]
    assert np.mean(zs) == pytest.approx(0.0, abs=0.1)
    assert np.std(zs) == pytest.approx(1.0, abs=0.06)


@given(VALUES)
def test_the_trend_is_that_of_counted_pairs(values: list[float]) -> None:
    pairs = [(i, j) for i, j in product(range(len(values)), repeat=2) if i < j]
    score = sum(np.sign(values[j] - values[i]) for i, j in pairs)
    z = trend(np.array(values))
    assert np.isfinite(z)
    assert np.sign(z) == np.sign(score) or abs(score) == 1
    assert trend(-np.array(values)) == -z


# One term above all


def test_a_term_that_outweighs_differing_outcomes_dominates() -> None:
    """Outcomes differ by 1 and the format by 8, against it: -7 x -7 is made of 1 and 56 parts."""
    table = build_table([_mixed(name) for name in "abcd"])
    shaped = SUM(table, progress=0.0)
    shares = variance_shares(table, shaped.terms)
    assert shares == pytest.approx({"outcome": -1 / 7, "format": 8 / 7})
    assert dominating(table, shaped.terms) == "format"


def _mixed(name: str) -> Group:
    return make_group([make_step(outcome=1.0)], [make_step(format=8.0)], name=name)


def test_of_a_few_groups_with_differing_outcomes_nothing_is_told() -> None:
    """Three of sixteen: what dominates there may be chance."""
    failed = [make_group([make_step()], [make_step(format=1.0)], name=f"g{k}") for k in range(13)]
    table = build_table([*map(_mixed, "abc"), *failed])
    assert dominating(table, SUM(table, progress=0.0).terms) is None


def test_where_all_failed_another_term_may_be_the_only_signal() -> None:
    table = build_table([make_group([make_step(outcome=0.0)], [make_step(format=8.0)])])
    assert variance_shares(table, SUM(table, progress=0.0).terms) == {}
    assert dominating(table, SUM(table, progress=0.0).terms) is None


@given(tables())
def test_shares_add_up_to_one(table: StepTable) -> None:
    shares = variance_shares(table, SUM(table, progress=0.0).terms)
    assert not shares or sum(shares.values()) == pytest.approx(1.0)


# Short failures


def paid(*, failures: int, reward: float, length: int) -> StepTable:
    """Failures of one step with this reward, and a success of `length` steps with 1."""
    success = [make_step() for _ in range(length - 1)] + [make_step(outcome=1.0, pay=1.0)]
    return build_table([make_group(*([make_step(pay=reward)] for _ in range(failures)), success)])


@pytest.mark.parametrize(
    ("failures", "reward", "length", "expected"),
    [(8, 1.5, 3, True), (8, 0.5, 3, False), (8, 1.5, 1, False), (7, 1.5, 3, False)],
    ids=["wrong", "right", "as long", "too few"],
)
def test_giving_up_early_must_not_pay(
    failures: int, reward: float, length: int, expected: bool
) -> None:
    table = paid(failures=failures, reward=reward, length=length)
    assert pays_short_failures(table, table.term("pay"), success=1.0) is expected


@given(tables())
def test_pairs_are_those_of_each_group(table: StepTable) -> None:
    rewards, returns = table.term("format"), table.per_trajectory(table.term("format"))
    good = table.per_trajectory(table.term("outcome")) >= 1.0
    count = wrong = 0
    for a, b in product(range(table.num_trajectories), repeat=2):
        same = table.group[a] == table.group[b]
        if same and good[b] and not good[a] and table.lengths[a] < table.lengths[b]:
            count, wrong = count + 1, wrong + (returns[a] > returns[b])
    expected = count >= 8 and 2 * wrong > count
    assert pays_short_failures(table, rewards, success=1.0) == expected


# History


@given(tables())
def test_competence_is_the_mean_success_of_the_last_batches(table: StepTable) -> None:
    history = History()
    assert history.competence == 0.0
    for success in (-99.0, 99.0, 99.0):
        history.add(table, Outcome()(table, progress=0.0), success=success)
    assert history.competence == pytest.approx(1 / 3)
    for _ in range(WINDOW):
        history.add(table, Outcome()(table, progress=0.0), success=99.0)
    assert history.competence == 0.0
    assert len(history.batches) == WINDOW
    again = History([list(batch) for batch in history.batches])
    assert again.batches == history.batches
