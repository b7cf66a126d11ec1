import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError
from strategies import make_group, make_step, tables

from agentgym.errors import ConfigError
from agentgym.table import StepTable, build_table
from agentgym.trainers.shaping import SHAPERS, AnyShaper, ShaperConfig
from agentgym.trainers.shaping.base import WeightedTerm, missing_terms, shape
from agentgym.trainers.shaping.cgrpo import CGRPO
from agentgym.trainers.shaping.datarus import Datarus
from agentgym.trainers.shaping.forms import GroupMax, Overlong, Potential
from agentgym.trainers.shaping.gated import Gated, Level
from agentgym.trainers.shaping.gates import Above, NotZero, Score, Soft
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.progressive import Progressive, Stage
from agentgym.trainers.shaping.schedules import Linear, Steps
from agentgym.trainers.shaping.searchllm import SearchLLM
from agentgym.trainers.shaping.terms import Term, Terms
from agentgym.trainers.shaping.train_long_think_short import TrainLongThinkShort

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
    SearchLLM(bottom_line=("outcome",), behaviour=(WeightedTerm(term="format", scope="step"),)),
    CGRPO(rubric="format"),
    Datarus(),
    TrainLongThinkShort(start=4),
    Terms(
        terms=(
            Term(term="outcome", schedule=Steps(by="competence", at=(0.5,), factors=(1, 2))),
            Term(term="format", scope="step", form=Potential(gamma=0.9, initial=0.5)),
            Term(term="num_steps", form=Overlong(max_length=3, cache=0), gates=(Above(),)),
            Term(term="num_tokens", form=GroupMax(), schedule=Linear(begin=0.2, until=0.8)),
        )
    ),
]
EXAMPLES = {
    "outcome": {"name": "outcome"},
    "terms": {
        "name": "terms",
        "terms": [{"term": "f", "gates": [{"name": "soft", "terms": ["outcome"]}]}],
    },
    "searchllm": {"name": "searchllm", "behaviour": [{"term": "f"}]},
    "cgrpo": {"name": "cgrpo", "compat": True},
    "datarus": {"name": "datarus"},
    "train_long_think_short": {"name": "train_long_think_short"},
    "gated": {"name": "gated", "levels": [{"term": "outcome", "threshold": 0}, {"term": "f"}]},
    "progressive": {"name": "progressive", "stages": [{"term": "f"}, {"term": "outcome"}]},
}


@given(tables(), st.floats(0, 1))
def test_every_shaper_gives_finite_rewards_that_its_terms_add_up_to(
    table: StepTable, progress: float
) -> None:
    for shaper in VARIANTS:
        rewards, gates, terms = shaper(table, progress=progress, competence=1 - progress)
        assert rewards.shape == (table.num_steps,), shaper
        assert rewards.dtype == np.float64, shaper
        assert np.isfinite(rewards).all(), shaper
        assert sum(terms.values(), np.zeros(table.num_steps)).tolist() == rewards.tolist(), shaper
        for name, gate in gates.items():
            assert name in terms, shaper
            assert gate.shape == (table.num_trajectories,), shaper
            assert ((gate >= 0) & (gate <= 1)).all(), shaper
            if not isinstance(shaper, SearchLLM | CGRPO):
                assert set(gate.tolist()) <= {0.0, 1.0}, shaper


@given(tables())
def test_shapers_without_a_schedule_are_the_same_at_any_time(table: StepTable) -> None:
    for shaper in VARIANTS[:6]:
        first, last = shaper(table, progress=0.0), shaper(table, progress=1.0, competence=1.0)
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
        assert list(shaped.terms) == ["outcome"]


@given(tables())
def test_a_closed_gate_leaves_the_top_level_only(table: StepTable) -> None:
    rewards, gates, _ = _GATED(table, progress=0.0)
    is_open = table.per_trajectory(table.term("outcome")) > 0.0
    assert gates["format"].tolist() == is_open.tolist()
    below = rewards - table.term("outcome")
    expected = np.where(is_open[table.trajectory], table.term("format"), 0.0)
    assert below == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_a_gate_that_never_closes_is_direct_accumulation(table: StepTable) -> None:
    levels = tuple(level.model_copy(update={"threshold": -99.0}) for level in _GATED.levels)
    rewards, gates, _ = Gated(levels=levels)(table, progress=0.0)
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
    assert {name: gate.tolist() for name, gate in shaped.gates.items()} == {"outcome": [1.0, 0.0]}


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
        rewards, gates, _ = shaper(table, progress=0.0)
        assert rewards.tolist() == [0.0]
        assert (gates["middle"].tolist(), gates["bottom"].tolist()) == ([0.0], [0.0])


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
        {"name": "terms", "terms": []},
        {"name": "terms", "terms": [{"term": "a"}, {"term": "a"}]},
        {"name": "terms", "terms": [{"term": "a", "weight": float("nan")}]},
        {"name": "terms", "terms": [{"term": "a", "gate_positive_only": True}]},
        {"name": "terms", "terms": [{"term": "a", "gates": [{"name": "below"}]}]},
        {"name": "terms", "terms": [{"term": "a", "form": {"name": "potential"}}]},
        {"name": "terms", "terms": [{"term": "a", "scope": "step", "form": {"name": "budget"}}]},
        {
            "name": "terms",
            "terms": [
                {
                    "term": "a",
                    "scope": "step",
                    "form": {"name": "potential"},
                    "gates": [{"name": "above"}],
                }
            ],
        },
        {"name": "searchllm", "behaviour": [{"term": "a", "weight": 0}]},
        {"name": "searchllm", "behaviour": [{"term": "a", "weight": -1}]},
        {"name": "cgrpo", "rubric": "outcome"},
        {"name": "datarus", "structure": "outcome"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyShaper).validate_python(wrong)


def test_an_empty_table_gives_no_rewards() -> None:
    for shaper in VARIANTS:
        assert shaper(build_table([]), progress=0.0).rewards.shape == (0,)


@pytest.mark.parametrize(
    ("compat", "expected"),
    [(False, [1.0, 0.5, 0.0, -0.7]), (True, [0.94, 0.59, 0.0, -0.46])],
)
def test_rubrics_count_as_far_as_the_outcome_is_good(compat: bool, expected: list[float]) -> None:
    """Right, half right, wrong and punished; the released code adds 0.3 x 0.8 but to a 0."""
    outcomes = (1.0, 0.5, 0.0, -1.0)
    steps = [[make_step(outcome=outcome, rubric=0.8)] for outcome in outcomes]
    rewards = CGRPO(alpha=0.3, compat=compat)(build_table([make_group(*steps)]), progress=0.0)
    assert rewards.rewards == pytest.approx(expected)


# What is asked of a shaper


def test_a_shaper_names_the_terms_that_it_looks_at() -> None:
    assert Outcome().needs == ("outcome",)
    assert Datarus().needs == ("format", "outcome")
    gated = Gated(levels=(Level(term="a", threshold=0.0), Level(term="b")))
    assert gated.needs == ("a", "b")
    soft = Term(term="num_tokens", gates=(Soft(terms=("c", "d")), Score(term="e"), NotZero()))
    needs = Terms(terms=(soft,)).needs
    assert needs == ("num_tokens", "c", "d", "e", "outcome")
    assert missing_terms(Terms(terms=(soft,)), ("c", "outcome")) == ["d", "e"]


@pytest.mark.parametrize(
    ("shaper", "expected"),
    [
        (Outcome(), False),
        (CGRPO(), False),
        (Datarus(), True),
        (TrainLongThinkShort(), True),
        (Terms(terms=(Term(term="a", schedule=Linear(by="competence")),)), False),
        (Terms(terms=(Term(term="a", schedule=Linear()),)), True),
    ],
    ids=str,
)
def test_a_shaper_tells_whether_it_follows_the_progress(
    shaper: ShaperConfig, expected: bool
) -> None:
    assert shaper.follows_progress is expected


@pytest.mark.parametrize("weights", [(1e308, 1e308), (1.0, float("1e31"))])
def test_rewards_that_nothing_can_be_computed_with_are_refused(weights: tuple[float, ...]) -> None:
    table = build_table([make_group([make_step(a=10.0, b=10.0)], [make_step()], name="g")])
    named = zip("ab", weights, strict=True)
    shaper = Terms(terms=tuple(Term(term=name, weight=weight) for name, weight in named))
    with pytest.raises(
        ConfigError, match=r"the term '[ab]' pays (inf|1e\+32) at step 0 of .*1e\+30"
    ):
        shape(shaper, table, progress=0.0)
