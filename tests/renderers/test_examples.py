import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agentgym.formats.messages import to_example, to_line
from agentgym.types import Message, Step, Task, ToolCall, ToolSpec, Trajectory

ASK = Message("user", "Add 3.")


def trajectory(
    *turns: tuple[Message, Sequence[Message]], tools: tuple[ToolSpec, ...] = ()
) -> Trajectory:
    steps = [Step(message=message, replies=tuple(replies)) for message, replies in turns]
    return Trajectory(
        id="a", task=Task("Add 3."), group_id="g", prompt=(ASK,), tools=tools, steps=steps
    )


def calls(*calls: tuple[str, str, str], content: str = "") -> Message:
    return Message("assistant", content, tuple(ToolCall(*call) for call in calls))


def example(found: Trajectory, **options: Any) -> Any:
    made = to_example(found, **options)
    return made and json.loads(to_line(made))


@pytest.mark.parametrize("template", ["tiny", "hermes", "xml"])
def test_chat_templates_render_what_is_written(make_tokenizer, tools, template: str) -> None:
    played = trajectory(
        (
            calls(("add", '{"a": 3, "items": [1], "text": "é\\u2028"}', ""), content="Let me."),
            (Message("tool", "3", tool_call_id=""),),
        ),
        (Message("assistant", "It is 3."), (Message("user", "Right."),)),
        tools=tools,
    )
    line = example(played)
    for message in line["messages"]:
        for call in message.get("tool_calls", ()):  # as those who train on such files do
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    text = make_tokenizer(template).apply_chat_template(
        line["messages"], tools=line["tools"], tokenize=False
    )
    assert "<function=add>" in text or '"name": "add"' in text
    assert "It is 3." in text
    assert "Right." not in text


def test_the_file_ends_with_the_last_answer_and_holds_the_tools(tools) -> None:
    played = trajectory(
        (calls(("run", '{"code": "1"}', "c")), [Message("tool", "1", tool_call_id="c")]),
        tools=tools,
    )
    line = example(played)
    assert [each["role"] for each in line["messages"]] == ["user", "assistant"]
    assert line["tools"] == [tool.to_openai() for tool in tools]
    assert line["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"code": "1"}'
    assert set(example(played, tools=False)) == {"messages"}
    assert set(example(trajectory((Message("assistant", "3"), ())))) == {"messages"}


def test_calls_without_an_id_get_one_that_their_answers_name() -> None:
    both = calls(("add", "{}", ""), ("run", "", ""))
    answers = [Message("tool", "1", tool_call_id=""), Message("tool", "2")]
    line = example(trajectory((both, answers), (both, ()), (Message("assistant", "so"), ())))
    first, one, two, second, _ = line["messages"][1:]
    ids = [call["id"] for each in (first, second) for call in each["tool_calls"]]
    assert len(set(ids)) == 4
    assert [one["tool_call_id"], two["tool_call_id"]] == ids[:2]
    assert first["tool_calls"][1]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    "arguments",
    ['{"a": ', "[1]", "3", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 10_000, "no"],
    ids=["cut off", "a list", "a number", "NaN", "half a character", "deep", "text"],
)
def test_an_episode_with_a_call_that_no_template_can_render_is_no_example(arguments: str) -> None:
    assert example(trajectory((calls(("add", arguments, "c")), ()))) is None
    assert example(trajectory((calls(("", "{}", "c")), ()))) is None


def test_an_episode_without_an_answer_is_no_example() -> None:
    assert example(trajectory()) is None


TEXT = st.text(st.characters(codec=None))  # half characters too


@given(TEXT, TEXT)
def test_every_line_is_utf8_on_one_line_and_reads_back(content: str, answer: str) -> None:
    made = to_example(
        trajectory(
            (calls(("add", '{"a": 1}', ""), content=content), (Message("tool", answer),)),
            (Message("assistant", answer), ()),
        )
    )
    assert made is not None
    line = to_line(made).decode("utf-8")
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    messages = [Message.from_openai(each) for each in json.loads(line)["messages"]]
    assert [each.to_openai() for each in messages] == json.loads(line)["messages"]
    assert messages[1].content == re.sub("[\ud800-\udfff]", "\ufffd", content)
    assert messages[2].tool_call_id == messages[1].tool_calls[0].id
