import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from agentgym.trainers.evaluate import pass_at_k, score, wilson
from agentgym.types import Message, Step, Task, Trajectory


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_the_interval_holds_the_mean_and_stays_between_0_and_1(verdicts):
    rate = wilson(verdicts)
    assert rate.n == len(verdicts)
    assert 0 <= rate.low <= rate.mean + 1e-12
    assert rate.mean - 1e-12 <= rate.high <= 1


@given(st.lists(st.booleans(), min_size=1, max_size=99))
def test_the_bounds_solve_the_score_equation(verdicts):
    """|mean - p| = z sqrt(p (1 - p) / n) at both bounds."""
    rate = wilson(verdicts)
    for bound in (rate.low, rate.high):
        if 1e-9 < bound < 1 - 1e-9:
            deviation = math.sqrt(bound * (1 - bound) / rate.n)
            assert abs(rate.mean - bound) == pytest.approx(1.95996 * deviation, rel=1e-4)


@given(st.lists(st.booleans(), min_size=1, max_size=99))
def test_where_no_task_repeats_it_is_wilsons_interval(verdicts):
    assert wilson(verdicts, range(len(verdicts))) == pytest.approx(wilson(verdicts))


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(2, 8))
def test_saying_the_same_again_says_nothing_new(verdicts, times):
    again = [each for each in verdicts for _ in range(times)]
    tasks = [task for task in range(len(verdicts)) for _ in range(times)]
    rate = wilson(again, tasks)
    assert rate.n == times * len(verdicts)
    assert rate[:3] == pytest.approx(wilson(verdicts)[:3])


def test_the_interval_over_tasks_holds_the_truth_as_often_as_it_says():
    """Tasks are easy or hard: 30 tasks with 4 episodes each, a beta-binomial of mean 1/2."""
    chance = np.random.default_rng(0)
    tasks = np.repeat(np.arange(30), 4)
    hits = {"over tasks": 0, "over episodes": 0}
    for _ in range(1000):
        won = chance.random(120) < chance.beta(0.5, 0.5, 30)[tasks]
        for name, rate in (("over tasks", wilson(won, tasks)), ("over episodes", wilson(won))):
            hits[name] += rate.low <= 0.5 <= rate.high
    assert 930 <= hits["over tasks"] <= 975
    assert hits["over episodes"] < 850


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_pass_at_k_is_the_share_of_subsets_with_a_success(verdicts, k):
    if k > len(verdicts):
        assert pass_at_k([verdicts], k) == 0
        return
    subsets = [any(subset) for subset in itertools.combinations(verdicts, k)]
    assert pass_at_k([verdicts], k) == pytest.approx(sum(subsets) / len(subsets))


def episode(task, outcome, *, kind=None, end="terminated", member=0):
    return Trajectory(
        id=f"{task}.{member}",
        task=Task(task, payload=kind and {"kind": kind}),
        group_id=task,
        member=member,
        steps=[Step(message=Message("assistant"), reward_terms={"outcome": outcome})],
        end=end,
    )


def test_a_score_counts_success_by_kind_and_leaves_faults_out():
    found = score(
        [
            episode("a", 1.0, kind="map"),
            episode("b", 0.5, kind="map"),
            episode("c", 1.0, kind="sum"),
            episode("d", 0.0, kind="sum", end="truncated"),
            episode("e", 1.0, end="error"),
        ],
        success=1.0,
    )
    assert (found.success.mean, found.success.n, found.faults) == (0.5, 4, 1)
    assert {kind: rate.mean for kind, rate in found.kinds.items()} == {"map": 0.5, "sum": 0.5}
    assert found.pass_at == {1: 0.5}
    assert found.scalars("eval")["eval/success/map"] == 0.5
    assert found.to_json()["success"]["n"] == 4


def test_several_samples_give_pass_at_k():
    found = score(
        [
            episode(task, float(task == "a" and member == 0), member=member)
            for task in "ab"
            for member in range(4)
        ],
        success=1.0,
    )
    assert found.pass_at == {1: 0.125, 4: 0.5}


def test_several_samples_of_a_task_make_no_interval_narrow():
    found = score(
        [
            episode(task, float(task < "c"), member=member, kind="sum")
            for task in "abcd"
            for member in range(4)
        ],
        success=1.0,
    )
    apart = wilson([True, True, False, False])
    for rate in (found.success, found.kinds["sum"]):
        assert rate.n == 16
        assert (rate.low, rate.high) == pytest.approx((apart.low, apart.high))


def test_nothing_scored_is_no_division_by_zero():
    found = score([], success=1.0)
    assert found.success == (0.0, 0.0, 1.0, 0)
    assert found.pass_at == {}
