import pickle
from copy import deepcopy
from multiprocessing import get_context

import pytest
from gymnasium.spaces import Dict, Text
from gymnasium.vector.utils import (
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
from hypothesis import given, strategies as st

from agentgym.gym import UnicodeText

SPACE = UnicodeText(40)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_it_holds_every_string_up_to_its_length(text: str) -> None:
    assert SPACE.contains(text) == (len(text) <= 40)


@pytest.mark.parametrize("other", [None, 3, b"bytes", ["list"]])
def test_it_holds_nothing_else(other: object) -> None:
    assert other not in SPACE


def test_samples_are_printable_varied_and_of_the_space() -> None:
    space = UnicodeText(1000, seed=0)
    samples = [space.sample() for _ in range(200)]
    assert all(sample in space for sample in samples)
    assert all(mark.isprintable() or mark == "\n" for sample in samples for mark in sample)
    assert any(not sample.isascii() for sample in samples)
    assert "" in {UnicodeText(1, seed=seed).sample() for seed in range(20)}


def test_the_same_seed_gives_the_same_samples() -> None:
    first, again = (UnicodeText(50, seed=7) for _ in range(2))
    assert [first.sample() for _ in range(5)] == [again.sample() for _ in range(5)]


def test_it_is_equal_to_one_of_the_same_length_and_to_its_pickle() -> None:
    assert UnicodeText(3) == UnicodeText(3) == pickle.loads(pickle.dumps(UnicodeText(3)))
    assert UnicodeText(3) != UnicodeText(4)
    assert UnicodeText(3) != Text(3)


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), min_size=2, max_size=2))
def test_shared_memory_carries_every_text(texts: list[str]) -> None:
    memory = create_shared_memory(SPACE, n=2, ctx=get_context("fork"))
    live = read_from_shared_memory(SPACE, memory, n=2)
    for index, text in enumerate(texts):
        write_to_shared_memory(SPACE, index, text, memory)
    assert deepcopy(live) == tuple(texts)
    assert list(live) == texts


def test_it_stands_in_a_dictionary_of_a_vector_environment() -> None:
    space = Dict({"text": SPACE})
    memory = create_shared_memory(space, n=2, ctx=get_context("fork"))
    write_to_shared_memory(space, 1, {"text": "ключ"}, memory)
    assert deepcopy(read_from_shared_memory(space, memory, n=2)) == {"text": ("", "ключ")}


def test_it_is_batched_like_other_texts() -> None:
    assert ("é", "") in batch_space(SPACE, 2)
    assert create_empty_array(SPACE, n=2) == ("", "")
    assert concatenate(SPACE, ["a", "b"], None) == ("a", "b")
