from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step, tables

from agentgym.errors import ConfigError
from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.anchors import matches, similar_anchors
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.types import Message, digest

Texts = st.text("abc", max_size=9)


@given(Texts, Texts)
def test_matches_as_difflib_without_autojunk(a: str, b: str) -> None:
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    assert matches(a, b) == sum(block.size for block in blocks)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("autojunk", [False, True])
@given(texts=st.lists(Texts.filter(bool), min_size=1, max_size=12))
def test_leaders_are_those_of_the_slow_obvious_version(
    similarity: float, autojunk: bool, texts: list[str]
) -> None:
    """Every text is compared with every leader, by difflib alone."""
    leaders: list[str] = []
    expected = []
    for text in texts:
        ratios = [SequenceMatcher(None, text, each, autojunk).ratio() for each in leaders]
        joined = next((n for n, ratio in enumerate(ratios) if ratio >= similarity), len(leaders))
        leaders += [text] * (joined == len(leaders))
        expected.append(joined)
    found = similar_anchors(_seen(texts), similarity=similarity, autojunk=autojunk)
    assert _first_places(found.tolist()) == _first_places(expected)


@given(st.lists(st.text("abcdefgh ", min_size=200, max_size=260), min_size=2, max_size=3))
def test_autojunk_is_that_of_difflib_on_long_texts(texts: list[str]) -> None:
    ratio = SequenceMatcher(None, texts[1], texts[0]).ratio()
    found = similar_anchors(_seen(texts[:2]), similarity=0.3, autojunk=True)
    assert (found[0] == found[1]) == (ratio >= 0.3)


@given(tables())
def test_similarity_1_is_exact(table: StepTable) -> None:
    rewards = table.term("outcome")
    similar = GiGPO(anchors="similar", similarity=1.0)
    assert similar(table, rewards).tolist() == GiGPO()(table, rewards).tolist()


def test_the_order_of_the_steps_decides_who_leads() -> None:
    """ab and bc are like abc and not like each other (ratios 0.8 and 0.5)."""
    assert _first_places(_anchors("ab", "abc", "bc")) == [0, 0, 2]
    assert _first_places(_anchors("abc", "ab", "bc")) == [0, 0, 0]


def test_similar_states_of_different_groups_are_not_compared() -> None:
    groups = [
        make_group([make_step(state=text)], name=name)
        for name, text in (("g", "a room with a door"), ("h", "a room with a d00r"))
    ]
    table = build_table(groups)
    assert len(set(similar_anchors(table, similarity=0.5).tolist())) == 2


def test_steps_without_a_state_are_alone() -> None:
    table = build_table([make_group([make_step()], [make_step()], [make_step(state="s")])])
    assert len(set(similar_anchors(table, similarity=0.1).tolist())) == 3


def test_observations_are_compared_and_not_their_digests() -> None:
    table = _observed("You see a red door.", "You see a rad door.", "Nothing here at all!")
    assert table.state_texts[:3] == (
        "You see a red door.",
        "You see a rad door.",
        "Nothing here at all!",
    )
    assert _first_places(similar_anchors(table, similarity=0.9).tolist()) == [0, 0, 2]


def test_digests_without_texts_are_refused() -> None:
    table = replace(_observed("one", "two"), state_texts=())
    with pytest.raises(ConfigError, match="the digest only") as caught:
        GiGPO(anchors="similar")(table, table.term("outcome"))
    assert 'credit.anchors = "exact"' in str(caught.value.hint)
    assert GiGPO()(table, table.term("outcome")).tolist() == [0.0, 0.0]


def test_an_empty_observation_is_a_text_too() -> None:
    table = _observed("", "", "a room")
    assert _first_places(similar_anchors(table, similarity=0.9).tolist()) == [0, 0, 2]


def test_texts_of_a_thousand_blocks_are_matched() -> None:
    """Each block is the longest of what is right of the one before it."""
    a, b = "xa" * 1_100, "xb" * 1_100
    assert matches(a, b) == 1_100


def test_the_text_of_a_state_is_what_was_answered_before_it() -> None:
    """Prompts start an episode, replies lead to the next state, the last one leads on to none."""
    first = make_step(state="start", next_state="hall")
    second = make_step(state="hall", next_state="end")
    first.replies, second.replies = (Message("user", "A hall."),), (Message("user", "The end."),)
    group = make_group([first, second], [make_step(state="hall", next_state=None)])
    group.trajectories[0].prompt = (Message("system", "Walk."), Message("user", "Go."))
    table = build_table([group])
    assert dict(zip(table.state_keys, table.state_texts, strict=True)) == {
        "start": "Walk.\nGo.",
        "hall": "A hall.",
        "end": "The end.",
    }


def _seen(texts: list[str]) -> StepTable:
    """Episodes of one step whose states are known by their texts."""
    return build_table([make_group(*([make_step(state=text)] for text in texts))])


def _observed(*texts: str) -> StepTable:
    """Episodes of one step whose states are known by digests, as environments have them."""
    group = make_group(*([make_step(state=digest([text]))] for text in texts))
    for trajectory, text in zip(group.trajectories, texts, strict=True):
        trajectory.prompt = (Message("user", text),)
    return build_table([group])


def _anchors(*texts: str) -> list[int]:
    anchors: list[int] = similar_anchors(_seen(list(texts)), similarity=0.8).tolist()
    return anchors


def _first_places(numbers: list[int]) -> list[int]:
    return np.array([numbers.index(number) for number in numbers]).tolist()
