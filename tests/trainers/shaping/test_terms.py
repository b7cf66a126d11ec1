"""Forms, gates and schedules of terms, one by one."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError
from strategies import Rewards, make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.shaping.base import totals
from agentgym.trainers.shaping.forms import Budget, GroupMax
from agentgym.trainers.shaping.gates import Above, Soft
from agentgym.trainers.shaping.schedules import (
    AnySchedule,
    Constant,
    Cosine,
    Linear,
    Schedule,
    Steps,
)
from agentgym.trainers.shaping.terms import Term, Terms

WIDE = st.floats(-1e100, 1e100)


def shape(*terms: Term, table: StepTable, progress: float = 0.0, competence: float = 0.0):
    return Terms(terms=terms)(table, progress=progress, competence=competence)


# What the table counts


@given(tables())
def test_tokens_and_steps_are_counted_whatever_terms_there_are(table: StepTable) -> None:
    assert totals(table, "num_steps").tolist() == table.lengths.tolist()
    assert (
        totals(table, "num_tokens").tolist()
        == np.diff(table.token_start[table.step_start]).tolist()
    )


# Gates


@given(tables(), st.floats(-2, 2))
def test_gates_of_a_term_multiply(table: StepTable, threshold: float) -> None:
    first, second = Above(threshold=threshold), Soft(terms=("outcome", "format"))
    shaped = shape(Term(term="format", gates=(first, second)), table=table)
    expected = first.share(table) * second.share(table)
    assert shaped.gates["format"].tolist() == expected.tolist()
    paid = table.per_trajectory(shaped.rewards)
    assert paid == pytest.approx(expected * totals(table, "format"))


@given(tables(rewards=WIDE), st.floats(1e-6, 10))
def test_a_soft_gate_opens_with_each_score_and_never_shuts(table: StepTable, delta: float) -> None:
    gate = Soft(terms=("outcome",), delta=delta)
    share = gate.share(table)
    order = np.argsort(totals(table, "outcome"))
    assert (share > 0).all()
    assert (share <= 1 + 1e-12).all()
    assert (np.diff(share[order]) >= 0).all()


def test_punishment_passes_a_closed_gate_where_asked_for() -> None:
    table = build_table([make_group([make_step(a=-1.0), make_step(a=2.0)])])
    term = Term(term="a", scope="step", gates=(Above(),), gate_positive_only=True)
    assert shape(term, table=table).rewards.tolist() == [-1.0, 0.0]


# Forms


def test_the_group_maximum_is_of_sums_and_of_each_group_alone() -> None:
    first = make_group([make_step(a=1.0), make_step(a=3.0)], [make_step(a=2.0)], name="g0")
    table = build_table([first, make_group([make_step(a=-4.0)], [make_step(a=0.0)], name="g1")])
    whole = shape(Term(term="a", form=GroupMax()), table=table).rewards
    assert whole.tolist() == [0.0, 1.0, 0.5, -4.0, 0.0]
    by_step = shape(Term(term="a", form=GroupMax(), scope="step"), table=table).rewards
    assert by_step.tolist() == [0.25, 0.75, 0.5, -4.0, 0.0]


@given(tables(rewards=WIDE))
def test_no_form_makes_what_is_finite_infinite(table: StepTable) -> None:
    for form in (GroupMax(), Budget()):
        assert np.isfinite(shape(Term(term="outcome", form=form), table=table).rewards).all()


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.5), (0.24, 0.5), (0.25, 1.0), (0.5, 0.0), (1.0, 0.0)]
)
def test_the_budget_shrinks_with_the_stages(progress: float, expected: float) -> None:
    """4 tokens of a budget of 8, of 4, of 2."""
    table = build_table([make_group([make_step(num_tokens=1), make_step(num_tokens=3)])])
    term = Term(term="num_tokens", form=Budget(start=8, decay=0.5, stages=4))
    assert shape(term, table=table, progress=progress).rewards.tolist() == [0.0, expected]


# Schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1.0, 1.0, 1.0, 1.0, 1.0]),
        (Linear(), [1.0, 0.75, 0.5, 0.25, 0.0]),
        (Linear(begin=0.25, until=0.75, start=0, end=2), [0.0, 0.0, 1.0, 2.0, 2.0]),
        (Cosine(), [1.0, 0.853553, 0.5, 0.146447, 0.0]),
        (Steps(at=(0.25, 0.75), factors=(0, 1, 3)), [0.0, 1.0, 1.0, 3.0, 3.0]),
    ],
    ids=["constant", "linear", "ramp", "cosine", "steps"],
)
def test_a_schedule_follows_its_clock(schedule: Schedule, expected: list[float]) -> None:
    times = [0.0, 0.25, 0.5, 0.75, 1.0]
    found = [schedule.factor(progress=time, competence=0.1) for time in times]
    assert found == pytest.approx(expected, abs=1e-6)
    if not isinstance(schedule, Constant):
        by_skill = schedule.model_copy(update={"by": "competence"})
        found = [by_skill.factor(progress=0.1, competence=time) for time in times]
        assert found == pytest.approx(expected, abs=1e-6)


@given(tables(), Rewards, st.floats(0, 1), st.floats(0, 1))
def test_a_schedule_multiplies_the_weight(
    table: StepTable, weight: float, progress: float, competence: float
) -> None:
    schedule = Linear(by="competence", start=2, end=-1)
    now = {"progress": progress, "competence": competence}
    scheduled = shape(Term(term="format", weight=weight, schedule=schedule), table=table, **now)
    plain = shape(Term(term="format", weight=weight), table=table)
    assert scheduled.rewards == pytest.approx(schedule.factor(**now) * plain.rewards)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "linear", "begin": 0.5, "until": 0.5},
        {"name": "cosine", "by": "loss"},
        {"name": "steps", "at": [0.5], "factors": [1]},
        {"name": "steps", "at": [0.5, 0.25], "factors": [1, 2, 3]},
        {"name": "steps", "at": [0.5, 1.5], "factors": [1, 2, 3]},
        {"name": "steps", "at": [float("nan")], "factors": [1, 2]},
        {"name": "steps", "at": [0.5], "factors": [1, float("inf")]},
    ],
    ids=str,
)
def test_a_schedule_that_makes_no_sense_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnySchedule).validate_python(wrong)
