import json
import re
import sys
from bisect import bisect_left

from hypothesis import given, strategies as st

from agentgym.env import action_key
from agentgym.types import Message, ToolCall, digest, digest_texts


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def is_too_deep(depth: int) -> bool:
    try:
        json.loads(nested(depth))
    except RecursionError:
        return True
    return False


def test_arguments_of_any_depth_have_a_key() -> None:
    deepest = bisect_left(range(100_000), True, key=is_too_deep)
    for depth in range(deepest - 20, deepest + 5):
        calls = (ToolCall("run", nested(depth)),)
        assert nested(depth) in action_key(Message("assistant", tool_calls=calls))


@given(st.text(st.characters()))
def test_the_key_of_a_text_has_single_spaces(text: str) -> None:
    assert action_key(Message("assistant", text)) == re.sub(r"\s+", " ", text).strip()


def test_all_that_is_white_counts_as_a_space() -> None:
    white = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
    assert action_key(Message("assistant", f"go{white}left{white}")) == "go left"


@given(st.lists(st.text(st.characters()), max_size=3))
def test_texts_are_digested_as_json_values_are(texts: list[str]) -> None:
    assert digest_texts(texts) == digest(texts)
