import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError
from strategies import make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.shaping import SHAPERS, AnyShaper, ShaperConfig
from agentgym.trainers.shaping.gated import Gated, Level
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.progressive import Progressive, Stage

_GATED = Gated(
    levels=(Level(term="outcome", threshold=0.0, scope="step"), Level(term="format", scope="step"))
)
_PROGRESSIVE = Progressive(
    stages=(Stage(term="format", unlock=0.5, scope="step"), Stage(term="outcome"))
)
VARIANTS: list[ShaperConfig] = [
    Outcome(),
    _GATED,
    _GATED.model_copy(update={"gate_positive_only": True}),
    _PROGRESSIVE,
]
EXAMPLES = {
    "outcome": {"name": "outcome"},
    "gated": {"name": "gated", "levels": [{"term": "outcome", "threshold": 0}, {"term": "f"}]},
    "progressive": {"name": "progressive", "stages": [{"term": "f"}, {"term": "outcome"}]},
}


@given(tables(), st.floats(0, 1))
def test_every_shaper_gives_a_reward_a_step_and_gates_of_zero_or_one(
    table: StepTable, progress: float
) -> None:
    for shaper in VARIANTS:
        rewards, gates = shaper(table, progress=progress)
        assert rewards.shape == (table.num_steps,), shaper
        assert rewards.dtype == np.float64, shaper
        for gate in gates.values():
            assert gate.shape == (table.num_trajectories,), shaper
            assert set(gate.tolist()) <= {0.0, 1.0}, shaper


@given(tables())
def test_these_shapers_have_no_schedule(table: StepTable) -> None:
    for shaper in VARIANTS:
        first, last = shaper(table, progress=0.0), shaper(table, progress=1.0)
        assert first.rewards.tolist() == last.rewards.tolist(), shaper


@given(tables())
def test_shapers_leave_the_table_alone(table: StepTable) -> None:
    table.terms.flags.writeable = False
    for shaper in VARIANTS:
        shaper(table, progress=0.5).rewards[:] = 7.0


@given(tables())
def test_the_outcome_alone_is_the_term(table: StepTable) -> None:
    alone = Gated(levels=(Level(term="outcome", scope="step"),))
    for shaper in (Outcome(), alone):
        shaped = shaper(table, progress=0.0)
        assert shaped.rewards.tolist() == table.term("outcome").tolist()
        assert shaped.gates == {}


@given(tables())
def test_a_closed_gate_leaves_the_top_level_only(table: StepTable) -> None:
    rewards, gates = _GATED(table, progress=0.0)
    is_open = table.per_trajectory(table.term("outcome")) > 0.0
    assert gates["outcome"].tolist() == is_open.tolist()
    below = rewards - table.term("outcome")
    expected = np.where(is_open[table.trajectory], table.term("format"), 0.0)
    assert below == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_a_gate_that_never_closes_is_direct_accumulation(table: StepTable) -> None:
    levels = tuple(level.model_copy(update={"threshold": -99.0}) for level in _GATED.levels)
    rewards, gates = Gated(levels=levels)(table, progress=0.0)
    assert rewards == pytest.approx(table.term("outcome") + table.term("format"))
    assert all(gate.all() for gate in gates.values())


def test_step_terms_stay_on_their_steps_and_trajectory_terms_go_to_the_last() -> None:
    steps = [make_step(a=1.0, b=1.0), make_step(b=2.0), make_step()]
    table = build_table([make_group(steps, [make_step(a=3.0, b=0.5)])])
    levels = (Level(term="a", weight=10.0), Level(term="b", weight=2.0, scope="step"))
    assert Gated(levels=levels)(table, progress=0.0).rewards.tolist() == [2.0, 4.0, 10.0, 31.0]


@pytest.mark.parametrize(("strict", "expected"), [(True, [0.0, 1.5]), (False, [1.0, 1.5])])
def test_reaching_a_threshold_is_enough_unless_strict(strict: bool, expected: list[float]) -> None:
    table = build_table(
        [make_group([make_step(outcome=0.0, f=1.0)], [make_step(outcome=0.5, f=1.0)])]
    )
    levels = (Level(term="outcome", threshold=0.0, strict=strict), Level(term="f"))
    assert Gated(levels=levels)(table, progress=0.0).rewards.tolist() == expected


@pytest.mark.parametrize(("positive_only", "expected"), [(False, [0, 0]), (True, [0, -2])])
def test_a_closed_gate_can_let_punishment_through(
    positive_only: bool, expected: list[float]
) -> None:
    table = build_table([make_group([make_step(f=1.0, outcome=0.0), make_step(f=-2.0)])])
    levels = (Level(term="outcome", threshold=0.0), Level(term="f", scope="step"))
    shaper = Gated(levels=levels, gate_positive_only=positive_only)
    assert shaper(table, progress=0.0).rewards.tolist() == expected


def test_an_easy_stage_that_is_not_passed_locks_the_hard_ones() -> None:
    """Format 0.5 + 0.5 unlocks at 1; format 0.5 alone does not, though the outcome is 1."""
    passed = [make_step(format=0.5), make_step(format=0.5, outcome=1.0)]
    failed = [make_step(format=0.5, outcome=1.0)]
    table = build_table([make_group(passed, failed)])
    stages = (Stage(term="format", weight=0.2), Stage(term="outcome", weight=0.8))
    shaped = Progressive(stages=stages)(table, progress=0.0)
    assert shaped.rewards == pytest.approx([0.0, 0.2 + 0.8, 0.1])
    assert {name: gate.tolist() for name, gate in shaped.gates.items()} == {"format": [1.0, 0.0]}


def test_an_open_gate_below_a_closed_one_opens_nothing() -> None:
    table = build_table([make_group([make_step(top=0.0, middle=1.0, bottom=1.0)])])
    gated = Gated(
        levels=(
            Level(term="top", threshold=0.0),
            Level(term="middle", threshold=0.0),
            Level(term="bottom"),
        )
    )
    progressive = Progressive(
        stages=(Stage(term="top"), Stage(term="middle"), Stage(term="bottom"))
    )
    for shaper in (gated, progressive):
        rewards, gates = shaper(table, progress=0.0)
        assert rewards.tolist() == [0.0]
        assert (gates["top"].tolist(), gates["middle"].tolist()) == ([0.0], [1.0])


@pytest.mark.parametrize("name", SHAPERS)
def test_the_union_reads_every_shaper_of_the_table(name: str) -> None:
    shaper = TypeAdapter[ShaperConfig](AnyShaper).validate_python(EXAMPLES[name])
    assert type(shaper) is SHAPERS[name]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "gated"},
        {"name": "gated", "levels": []},
        {"name": "gated", "levels": [{"term": "a"}, {"term": "a"}]},
        {"name": "gated", "levels": [{"term": "a", "treshold": 1}]},
        {"name": "progressive", "stages": [{"term": "a"}, {"term": "a"}]},
        {"name": "outcme"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyShaper).validate_python(wrong)


def test_an_empty_table_gives_no_rewards() -> None:
    for shaper in VARIANTS:
        assert shaper(build_table([]), progress=0.0).rewards.shape == (0,)
