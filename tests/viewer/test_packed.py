"""Answers are compressed one by one, and refused where there are too many."""

import gzip
import json

import pytest
from hypothesis import given, strategies as st

from agentgym.errors import ConfigError
from agentgym.viewer.answers import encode
from agentgym.viewer.packed import Packed

Answers = st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists))


@given(Answers, st.dictionaries(st.sampled_from(["page", "credits"]), st.text()))
def test_all_answers_are_in_it_and_what_stands_beside_them(answers, beside) -> None:
    packed = Packed(1 << 20, hint="")
    for address, answer in answers.items():
        packed.add(address, encode(answer))
    content = packed.finish(**beside)
    assert json.loads(gzip.decompress(content)) == {"answers": answers, **beside}


def test_the_same_answers_give_the_same_file() -> None:
    def made() -> bytes:
        packed = Packed(100, hint="")
        packed.add("a", b"1")
        return packed.finish()

    assert made() == made()
    assert made()[4:8] == b"\0\0\0\0"  # no time


def test_there_is_room_up_to_the_last_byte() -> None:
    packed = Packed(10, hint="do this")
    packed.add("a", b"1" * 6)
    packed.need(4)
    packed.add("b", b"2" * 4)
    packed.need(0)
    for act in (lambda: packed.need(1), lambda: packed.add("c", b"3")):
        with pytest.raises(ConfigError, match="the answers are more than") as raised:
            act()
        assert raised.value.hint == "do this"
