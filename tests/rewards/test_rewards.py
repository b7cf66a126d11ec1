import doctest
import math
import sys
from itertools import permutations

import pytest
from hypothesis import example, given, strategies as st

import agentgym.rewards.bleu
import agentgym.rewards.carr
import agentgym.rewards.length
import agentgym.rewards.milestones
import agentgym.rewards.par
import agentgym.rewards.toolrl
from agentgym.rewards.bleu import length_aware_bleu
from agentgym.rewards.carr import Rubric, rubric_reward
from agentgym.rewards.length import budget_reward, length_budget, overlong_penalty
from agentgym.rewards.milestones import milestone_reward
from agentgym.rewards.par import par_reward
from agentgym.rewards.toolrl import correctness, format_reward, parse_calls, toolrl_reward

FILES = [
    agentgym.rewards.bleu,
    agentgym.rewards.carr,
    agentgym.rewards.length,
    agentgym.rewards.milestones,
    agentgym.rewards.par,
    agentgym.rewards.toolrl,
]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.lists(st.sampled_from("abc"), max_size=6).map(" ".join)
CALLS = st.lists(
    st.builds(
        lambda name, parameters: {"name": name, "parameters": parameters},
        st.sampled_from("fg"),
        st.dictionaries(st.sampled_from("xy"), st.integers(0, 2)),
    ),
    max_size=3,
)


@pytest.mark.parametrize("module", FILES, ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_run(module) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


# Length


@given(st.floats(0, 1e6), st.floats(1, 1e6), st.floats(0.01, 1))
def test_a_budget_only_shrinks_and_never_below_one(
    stage: float, start: float, decay: float
) -> None:
    budget = length_budget(stage, start=start, decay=decay)
    assert 1 <= length_budget(stage + 1, start=start, decay=decay) <= budget <= start


def test_a_stage_begins_where_it_should_in_spite_of_rounding() -> None:
    for step in range(100):
        assert length_budget(step / 100 * 100, start=2.0**50, decay=0.5) == max(
            1, 2.0 ** (50 - step)
        )


@given(st.floats(0, 1e300), st.floats(1, 1e6))
def test_nothing_is_paid_more_than_the_whole_budget(length: float, budget: float) -> None:
    assert 0 <= budget_reward(length, budget=budget) <= 1 == budget_reward(budget, budget=budget)


@given(st.floats(0, 300), st.floats(1, 200), st.floats(0, 1))
def test_a_longer_answer_is_never_penalised_less(length: float, most: float, share: float) -> None:
    penalty = overlong_penalty(length, max_length=most, cache=share * most)
    assert -1 <= overlong_penalty(length + 1, max_length=most, cache=share * most) <= penalty <= 0


def test_without_a_cache_the_penalty_comes_at_once() -> None:
    assert [overlong_penalty(n, max_length=10, cache=0) for n in (10, 11)] == [0.0, -1.0]


# PAR


@given(NUMBERS, st.lists(NUMBERS, min_size=1), st.floats(0, 100))
@example(sys.float_info.max, [-1e292], 0.0)
def test_par_stays_between_zero_and_one(score: float, references: list[float], k: float) -> None:
    assert 0 <= par_reward(score, references, k=k) <= 1


def test_par_needs_a_reference() -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        par_reward(1.0, [])


# Milestones


def test_a_milestone_counts_once_and_only_where_the_program_failed() -> None:
    printed = "data loaded\ndata loaded\nmodel trained"
    texts = ["data loaded", "data loaded", "model trained", "predicted"]
    assert milestone_reward(printed, texts, score=None) == pytest.approx(-9.8)
    assert milestone_reward("", texts, score=None) == -10.0
    assert milestone_reward(printed, texts, score=0.5) == 0.5


# BLEU


@given(WORDS, WORDS)
def test_bleu_is_one_for_the_reference_and_never_more(answer: str, reference: str) -> None:
    assert 0 <= length_aware_bleu(answer, reference) <= 1
    assert length_aware_bleu(reference, reference) == pytest.approx(1.0)


def test_bleu_of_a_short_answer_pays_the_brevity_penalty() -> None:
    """Both n-grams of `a b` are right, and two words stand for three: exp(1 - 3/2) times 0,
    for the trigram is missing; of the reference `a b` twice as long an answer has 1/2 and 1/3."""
    assert length_aware_bleu("a b", "a b c") == 0.0
    assert length_aware_bleu("a b x y", "a b") == pytest.approx(math.sqrt(1 / 2 * 1 / 3))
    assert length_aware_bleu("a", "a a") == 0.0
    assert length_aware_bleu("", "") == 1.0
    assert length_aware_bleu("a", "") == length_aware_bleu("", "a") == 0.0


# CaRR


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(["E0", "E1", "E2"]), max_size=2), st.booleans()),
        max_size=4,
    )
)
def test_the_order_of_rubrics_does_not_matter(rows: list[tuple[list[str], bool]]) -> None:
    rubrics = [Rubric(tuple(entities), supported) for entities, supported in rows]
    rewards = {rubric_reward(order) for order in permutations(rubrics)}
    assert rewards == {_reached_by_sweeping(rubrics)}


def _reached_by_sweeping(rubrics: list[Rubric]) -> float:
    """The slow obvious version: add what touches what is reached until nothing changes."""
    reached, entities = set(), {"E0"}
    for _ in rubrics:
        for number, rubric in enumerate(rubrics):
            if rubric.supported and entities & set(rubric.entities):
                reached.add(number)
                entities |= set(rubric.entities)
    return len(reached) / len(rubrics) if rubrics else 0.0


# ToolRL


@given(CALLS, CALLS)
def test_correctness_is_bounded_and_best_for_the_truth(truth, predicted) -> None:
    found = correctness(truth, predicted)
    assert -3 <= found <= 3 + 1e-9
    assert correctness(truth, truth) == (3.0 if truth else 0.0)


def test_a_call_that_has_nothing_right_is_not_used_up() -> None:
    """The first true f shares no parameter with g's; it takes the second f, which has one."""
    truth = [{"name": "f", "parameters": {"x": 1}}]
    predicted = [{"name": "f", "parameters": {"y": 1}}, {"name": "f", "parameters": {"x": 1}}]
    assert correctness(truth, predicted) == pytest.approx(6 * (1 / 2 + 2) / 3 - 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<tool_call>",
        "<tool_call></tool_call>",
        "<tool_call>\n[1]\n</tool_call>",
        '<tool_call>\n{"name": "f"}\n</tool_call>',
        '<tool_call>\n{"name": 1, "parameters": {}}\n</tool_call>',
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
    ],
    ids=range(7),
)
def test_calls_that_cannot_be_read_have_the_lowest_reward(text: str) -> None:
    assert parse_calls(text) is None
    assert toolrl_reward(text, [{"name": "f", "parameters": {}}]) == -3.0


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("<think>a</think>\n<tool_call>\n1\n</tool_call>\n<response>b</response>", True),
        ("<think>a</think>\n<tool_call>\n1\n</tool_call><response>b</response>", False),
        ("<think>a</think>\n<response>b</response>\n<tool_call>\n1\n</tool_call>", False),
        ("<think>a</think>\n<tool_call>1</tool_call>\n<response>b</response>", False),
        ("<think>a</think>\n<tool_call>\n1\n</tool_call>\n<response>b</response> c", False),
        (
            "<think>a</think>\n<tool_call>\n<tool_call>\n</tool_call>\n<response>b</response>",
            False,
        ),
    ],
)
def test_each_part_stands_once_and_in_its_place(text: str, good: bool) -> None:
    assert format_reward(text, calls=True, responds=True) == float(good)


def test_without_calls_and_response_thinking_is_the_whole_shape() -> None:
    assert format_reward("<think>a\nb</think>", calls=False, responds=False) == 1.0
    assert format_reward("a", calls=False, responds=False) == 0.0


def test_one_text_in_the_place_of_several_is_refused() -> None:
    with pytest.raises(ValueError, match="entities should be several names, not the text 'E0'"):
        Rubric("E0", True)
    for score in (None, 1.0):
        with pytest.raises(ValueError, match="milestones should be several texts"):
            milestone_reward("data loaded", "data", score=score)
        with pytest.raises(ValueError, match="a milestone is empty"):
            milestone_reward("data loaded", ["data", ""], score=score)
