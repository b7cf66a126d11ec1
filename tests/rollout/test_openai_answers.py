import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agentgym.rollout.openai.answer import MalformedAnswer, read_answer
from agentgym.rollout.openai.refusal import read_refusal
from agentgym.types import Message, ToolCall


def read(message: Any, *, taken: tuple[str, ...] = (), **others: Any) -> Any:
    body = {"choices": [{"message": message, "finish_reason": "stop"}], **others}
    return read_answer(json.dumps(body).encode(), taken_ids=taken)


def call(**parts: Any) -> dict[str, Any]:
    return {
        "id": parts.pop("id", "a"),
        "function": {"name": "go", "arguments": "{}", **parts},
    }


def test_text_and_calls_are_read_and_arguments_stay_the_text_they_are() -> None:
    raw = '{ "b":1,\n"a" : "é", "broken'
    found = read({"content": "so", "tool_calls": [call(arguments=raw, id="call_9")]})
    assert found.message == Message("assistant", "so", (ToolCall("go", raw, "call_9"),))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, "b", {"type": "output_text", "text": "c"}], "abc"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], "a"),
        ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": None}], ""),
        ("half \ud83d and whole \U0001f600", "half \ufffd and whole \U0001f600"),
    ],
    ids=["null", "empty", "no parts", "parts", "thoughts", "images", "half a character"],
)
def test_a_content_comes_in_many_shapes(content: Any, text: str) -> None:
    assert read({"content": content}).message.content == text


def test_a_content_that_is_missing_is_empty_and_a_refusal_is_what_was_said() -> None:
    assert read({"role": "assistant"}).message == Message("assistant")
    assert read({"content": None, "refusal": "I will not"}).message.content == "I will not"


def test_reasoning_is_left_out() -> None:
    message = {"content": "4", "reasoning_content": "2 + 2", "reasoning": "hm", "thinking": [1]}
    assert read(message).message == Message("assistant", "4")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        (None, "{}"),
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
        ({"a": "\ud800"}, '{"a": "\ufffd"}'),
        ([1], "[1]"),
        (7, "7"),
        ('{"a": "\\ud800"}', '{"a": "\\ud800"}'),
    ],
)
def test_arguments_that_are_no_text_become_one(arguments: Any, text: str) -> None:
    assert read({"tool_calls": [call(arguments=arguments)]}).message.tool_calls[0].arguments == text


def test_ids_that_are_missing_equal_taken_or_unusable_are_replaced() -> None:
    given_ids = ["x", "x", "", None, 7, "old", "y" * 1000, "\ud800", "\udfff", {"a": 1}]
    calls = [{**call(), "id": each} for each in given_ids]
    del calls[3]["id"]
    found = read({"tool_calls": calls}, taken=("old", "call00001")).message.tool_calls
    ids = [each.id for each in found]
    assert len(ids) == len(given_ids)
    assert len(set(ids)) == len(ids)
    assert ids[0] == "x"
    assert not {"old", "call00001"} & set(ids)
    assert all(0 < len(each) <= 256 for each in ids)
    "".join(ids).encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"choices": [{"mess', "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"1" * 5000, "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "no JSON object"),
        (b"{}", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": {"0": {}}}', "no choices"),
        (b'{"choices": [null]}', "no choices"),
        (b'{"error": {"message": "overloaded"}}', "overloaded"),
        (b'{"choices": [{}]}', "without a message"),
        (b'{"choices": [{"message": "hi"}]}', "without a message"),
        (b'{"choices": [{"message": {"content": 42}}]}', "the content is no text but 42"),
        (b'{"choices": [{"message": {"content": [42]}}]}', "a part of the content"),
        (b'{"choices": [{"message": {"tool_calls": {}}}]}', "tool_calls is no list"),
        (b'{"choices": [{"message": {"tool_calls": [null]}}]}', "a tool call is None"),
        (b'{"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]}', "a tool call is"),
        (b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 1}}]}}]}', "a tool call"),
    ],
)
def test_what_is_no_completion_is_said_to_be_none(body: bytes, text: str) -> None:
    with pytest.raises(MalformedAnswer, match=text) as raised:
        read_answer(body)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, (5, 2, None)),
        ({"prompt_tokens": 5, "cost": 0.25}, (5, None, 0.25)),
        ({"prompt_tokens": -1, "completion_tokens": True, "cost": "1"}, (None, None, None)),
        ({"prompt_tokens": float("nan"), "cost": float("inf")}, (None, None, None)),
        ({"prompt_tokens": 10**400, "completion_tokens": None}, (None, None, None)),
        (None, (None, None, None)),
        ([1, 2], (None, None, None)),
    ],
)
def test_counts_that_are_none_are_left_out(usage: Any, found: tuple[Any, ...]) -> None:
    counts = read({"content": "a"}, usage=usage).usage
    names = ("prompt_tokens", "completion_tokens", "cost")
    assert counts == {n: v for n, v in zip(names, found, strict=True) if v is not None}


def test_an_answer_at_its_limit_says_so() -> None:
    body = {"choices": [{"message": {"content": None}, "finish_reason": "length"}]}
    assert read_answer(json.dumps(body).encode()).usage == {"cut": 1.0}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "tool_calls", "function", "name", "id", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_stands_in_a_choice_is_read_or_refused(message: Any) -> None:
    body = json.dumps({"choices": [{"message": message}], "usage": message}).encode()
    try:
        found = read_answer(body)
    except MalformedAnswer:
        return
    assert isinstance(found.message.content, str)
    json.dumps(found.usage, allow_nan=False)
    found.message.content.encode()


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_server_refuses_with_is_one_short_line(body: bytes) -> None:
    text = str(read_refusal(400, body, hide=str))
    assert len(text) < 400
    assert "\n" not in text
    text.encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"error": {"message": "m", "code": "c"}}', "m"),
        ('{"error": "m"}', "m"),
        ('{"detail": [{"loc": ["body"], "msg": "m"}]}', '[{"loc": ["body"], "msg": "m"}]'),
        ('{"object": "error", "message": "m", "code": 400}', "m"),
        ("<html><head><title>502 Bad Gateway</title></head>...</html>", "502 Bad Gateway"),
        ("upstream\n\n  is gone", "upstream is gone"),
        ("", ""),
        ("x" * 5000, "x" * 299 + "…"),
    ],
)
def test_what_a_server_says_is_found_in_every_shape(body: str, text: str) -> None:
    assert read_refusal(400, body.encode(), hide=str).text == text
