import io
import json
from pathlib import Path

import pytest
from drawn_episodes import trajectories
from foreign import MESSAGES
from hypothesis import given, settings

from agentgym.errors import StoreError
from agentgym.formats.imported import Imported, read_any
from agentgym.formats.messages import MessagesReader, MessagesWriter, to_example
from agentgym.formats.source import Source, Value
from agentgym.types import Message, Step, Task, ToolCall, Trajectory


def read(tmp_path: Path, text: str) -> list[Trajectory]:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    return list(read_any(path))


def read_any_text(tmp_path: Path, text: str) -> Imported:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    return read_any(path)


def test_conversations_of_any_program_are_read(tmp_path: Path) -> None:
    (found,) = read(tmp_path, json.dumps({"messages": MESSAGES, "label": 3}))
    assert found.prompt == (Message("system", "Be brief."), Message("user", "Hi"))
    call = ToolCall("f", '{"x": "é"}')
    assert found.steps[0].message == Message("assistant", "<think>\nHm.\n</think>\n\n", (call,))
    assert found.steps[0].replies == (Message("tool", "3"),)
    assert [step.reward_terms for step in found.steps] == [{}, {}]
    assert (found.id, found.task.prompt, found.task.env) == ("line-1", "Hi", "")


def test_calls_refusals_and_thoughts_of_other_shapes_are_kept(tmp_path: Path) -> None:
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    parts = [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "redacted_thinking", "data": "eJx"},
        {"type": "refusal", "refusal": "Not that."},
        "bare",
        {"type": []},
    ]
    other = {"role": "assistant", "content": parts, "thinking": "First."}
    found = read_any_text(tmp_path, json.dumps({"messages": [MESSAGES[1], old, refused, other]}))
    (episode,) = found
    said = [step.message for step in episode.steps]
    assert said[0].tool_calls == (ToolCall("f", "{}"),)
    assert said[1].content == "No."
    assert said[2].content == (
        "<think>\nFirst.\n</think>\n\n<think>\nHm.\n</think>\n\nNot that.bare"
    )
    assert found.told["'redacted_thinking' parts left out"] == 1
    assert found.told["'[]' parts left out"] == 1


def test_encrypted_reasoning_is_no_text_and_its_summary_is(tmp_path: Path) -> None:
    hidden = {"type": "reasoning", "reasoning": "gAAAAB", "redacted": True}
    parts = [hidden | {"summary": "Short."}, hidden]
    found = read_any_text(
        tmp_path, json.dumps({"messages": [{"role": "assistant", "content": parts}]})
    )
    (episode,) = found
    assert episode.steps[0].message.content == "<think>\nShort.\n</think>\n\n"
    assert found.told["reasoning that is encrypted, left out"] == 1


def test_what_a_file_calls_its_parts_does_not_fill_the_account(tmp_path: Path) -> None:
    parts = [{"type": f"kind-{number}"} for number in range(1000)]
    found = read_any_text(tmp_path, json.dumps({"messages": [{"role": "user", "content": parts}]}))
    list(found)
    assert len(found.told) < 30
    assert found.told["other parts left out"] > 900


@pytest.mark.parametrize("text", ["[%s, %s]", "%s\n\n%s\n", "[\n%s,\n%s\n]"])
def test_lines_and_lists_are_the_same(tmp_path: Path, text: str) -> None:
    line = json.dumps({"messages": MESSAGES})
    first, second = read(tmp_path, text % (line, line))
    assert list(first.messages) == list(second.messages)
    assert first.id != second.id


def test_answers_find_their_calls_by_id_and_else_in_order() -> None:
    calls = (ToolCall("f", "{}", "x"), ToolCall("g"), ToolCall("h"), ToolCall("i", "{}", "y"))
    answers = [("g", None), ("f", "x"), ("h", None), ("i", None), ("more", None)]
    step = Step(
        message=Message("assistant", "", calls),
        replies=tuple(Message("tool", said, tool_call_id=name) for said, name in answers),
    )
    last = Step(message=Message("assistant", "Done."))
    example = to_example(Trajectory(id="e", task=Task("q"), group_id="g", steps=[step, last]))
    assert example is not None
    said, *replies, _ = example["messages"]
    names = {call["id"]: call["function"]["name"] for call in said["tool_calls"]}
    found = [(each["content"], names.get(each.get("tool_call_id"))) for each in replies]
    assert found == [("g", "g"), ("f", "f"), ("h", "h"), ("i", "i"), ("more", None)]


@settings(max_examples=30)
@given(trajectories())
def test_what_is_written_is_read_and_written_the_same(episode: Trajectory) -> None:
    example = to_example(episode)
    if example is None:
        return
    (found,) = MessagesReader(Source(__file__)).read(Value(example, "here", "here"))
    assert [message.to_openai() for message in found.messages] == example["messages"]
    assert to_example(found) == example
    assert found.tools == episode.tools


def test_metadata_brings_back_where_a_line_is_from() -> None:
    file = io.BytesIO()
    episode = Trajectory(
        id="e/1",
        task=Task("Hi.", id="t", env="x", split="test"),
        group_id="g",
        policy="p",
        prompt=(Message("user", "Hi."),),
    )
    episode.steps = [Step(message=Message("assistant", "Yes"))]
    episode.steps[0].reward_terms = {"outcome": 0.25}
    MessagesWriter(file, metadata=True).add(episode)
    value = Value(json.loads(file.getvalue()), "here", "here")
    (found,) = MessagesReader(Source(__file__)).read(value)
    assert (found.id, found.task, found.policy) == ("e/1", episode.task, "p")
    assert found.outcome == 0.25


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"messages": [{"role": "root"}]}', "messages.0.role: expected 'system', 'developer'"),
        ('{"messages": [{"role": "user", "content": 3}]}', "messages.0.content"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{}]}]}', "tool_calls.0.function"),
        ('{"messages": 3}', "messages: expected a valid list, found 3"),
        ('{"messages": [', "expected JSON; Expecting value at column 15"),
        ("[" * 100_000, "expected JSON that can be read"),
        ('{"a": ' + "9" * 5000 + "}", "expected JSON that can be read"),
        ("3", "the value: expected an object, found 3"),
    ],
)
def test_what_is_broken_is_named_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    good = json.dumps({"messages": MESSAGES})
    path = tmp_path / "a.jsonl"
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(StoreError) as raised:
        list(read_any(path))
    assert told in str(raised.value)
    assert f"{path}, line 2" in str(raised.value)
    broken: list[StoreError] = []
    found = list(read_any(path, on_broken=broken.append))
    assert [each.id for each in found] == ["line-1", "line-3"]
    assert len(broken) == 1
