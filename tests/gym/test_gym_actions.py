import json
import sys

import pytest
from hypothesis import given, strategies as st

from agentgym.gym import to_message, to_text
from agentgym.types import Message, ToolCall

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(
    lambda name, arguments: (name, json.dumps(arguments, ensure_ascii=False)),
    st.text(),
    st.dictionaries(st.text(), json_values, max_size=3),
)


@given(st.text(), st.lists(calls, min_size=1, max_size=3))
def test_what_a_message_says_survives_being_a_text(
    content: str, named: list[tuple[str, str]]
) -> None:
    given_calls = tuple(
        ToolCall(name, arguments, f"call_{number}")
        for number, (name, arguments) in enumerate(named)
    )
    message = Message("assistant", content, tool_calls=given_calls)
    assert to_message(to_text(message)) == message


@given(st.text() | json_values.map(json.dumps))
def test_any_other_text_is_a_plain_message(text: str) -> None:
    message = to_message(text)
    assert message == Message("assistant", text) or message.tool_calls
    assert to_message(text, has_tools=False) == Message("assistant", text)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x"}',
        '{"name": 3, "arguments": {}}',
        '{"tool_calls": []}',
        '{"tool_calls": {"name": "x", "arguments": {}}}',
        '{"tool_calls": [{"name": "x", "arguments": {}}, 7]}',
        '{"tool_calls": [{"function": "x"}]}',
        '{"tool_calls": [{"name": "x", "arguments": {}}], "content": 3}',
        '{"name": "x", "arguments": {}} and more',
        '["name", "arguments"]',
        "{" * 100_000,
        '{"a": ' * 100_000,
        "",
    ],
    ids=lambda text: text[:60],
)
def test_what_is_not_quite_a_call_is_a_plain_message(text: str) -> None:
    assert to_message(text) == Message("assistant", text)


def test_arguments_of_any_depth_are_written_and_read_again() -> None:
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        arguments = "[" * depth + "]" * depth
        message = Message("assistant", "so", tool_calls=(ToolCall("run", arguments, "call_0"),))
        text = to_text(message)
        assert to_message(text) in (message, Message("assistant", text))


def test_the_openai_shape_is_read_and_broken_arguments_are_kept() -> None:
    call = {"id": "abc", "type": "function", "function": {"name": "run", "arguments": '{"a": '}}
    message = to_message(json.dumps({"content": None, "tool_calls": [call]}))
    assert message.tool_calls == (ToolCall("run", '{"a": ', "abc"),)
    assert to_message(to_text(message)).tool_calls[0].arguments == '{"a": '


def test_a_text_nested_too_deeply_is_a_plain_message() -> None:
    for depth in (*range(800, 1000), 100_000):  # somewhere JSON can be read but not written again
        text = '{"name": "f", "arguments": {"a": ' + "[" * depth + "]" * depth + "}}"
        message = to_message(text)
        assert message.tool_calls or message.content == text
    assert not message.tool_calls
