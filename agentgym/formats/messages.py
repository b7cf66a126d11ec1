"""OpenAI messages, a conversation a line: what TRL, axolotl and OpenAI's service read.

As examples for supervised training they are written; any conversations are read.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from pydantic import FiniteFloat

from agentgym.formats.conversation import Chat, Tool, asked, cut
from agentgym.formats.reader import NO_END, Part, Reader, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.formats.writer import Writer, to_line
from agentgym.types import OUTCOME, Message, Task, ToolCall, Trajectory


class _Metadata(Part):
    """What our own export says about a line, on request."""

    episode: str
    env: str
    task: str
    split: str
    policy: str
    outcome: FiniteFloat


class _Line(Part):
    messages: list[Chat]
    tools: list[Tool] | None = None
    metadata: Any = None


class MessagesReader(Reader):
    """A conversation a line, or in a list; every message of an assistant is a step."""

    name = "OpenAI messages"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `messages`, a list of objects with a role."""
        if not has_keys(source.first, "messages"):
            return None
        messages = source.first["messages"]
        if isinstance(messages, list) and all(has_keys(each, "role") for each in messages[:1]):
            return "`messages` with roles"
        return None

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode of a line."""
        line = check(_Line, value)
        prompt, steps = cut([each.to_ours(self.told) for each in line.messages])
        name = value.name
        found = Trajectory(
            id=name, task=Task(asked(prompt)), group_id=name, reason=NO_END, prompt=prompt
        )
        found.steps = steps
        found.tools = tuple(tool.to_ours() for tool in line.tools or ())
        if has_keys(line.metadata, *_Metadata.model_fields):
            about = check(_Metadata, value._replace(value=line.metadata))
            found.id = found.group_id = short_name(about.episode, name)
            found.task = replace(found.task, id=about.task, env=about.env, split=about.split)
            found.policy = about.policy
            if steps:
                steps[-1].reward_terms[OUTCOME] = about.outcome
        self.told["without an end"] += 1
        yield found


class MessagesWriter(Writer):
    """Writes a line an episode: {messages, tools}, and on request metadata."""

    with_faults = False

    def __init__(self, file: BinaryIO, *, tools: bool = True, metadata: bool = False) -> None:
        self._file = file
        self._tools = tools
        self._metadata = metadata

    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode up to its last answer."""
        example = to_example(trajectory, tools=self._tools)
        if example is None:
            return "no answer, or a call that is not readable"
        about = {"metadata": to_metadata(trajectory)} if self._metadata else {}
        self._file.write(to_line(example | about))
        return None


def to_example(trajectory: Trajectory, *, tools: bool = True) -> dict[str, Any] | None:
    """Return `messages` up to the last answer, and `tools` where the episode had any.

    The messages are of the OpenAI shape, the arguments of calls JSON text. Calls without an id
    get one, and half characters, which UTF-8 lacks, become U+FFFD. None: there is no answer in
    it, or a call that cannot be read, which a chat template could not render.
    """
    messages = _until_answer(list(trajectory.messages))
    if not messages or not all(_is_readable(call) for each in messages for call in each.tool_calls):
        return None
    example: dict[str, Any] = {"messages": [each.to_openai() for each in _with_ids(messages)]}
    if tools and trajectory.tools:
        example["tools"] = [tool.to_openai() for tool in trajectory.tools]
    return example


def to_metadata(trajectory: Trajectory) -> dict[str, Any]:
    """Return where a line is from, and its outcome."""
    return {
        "episode": trajectory.id,
        "env": trajectory.task.env,
        "task": trajectory.task.id,
        "split": trajectory.task.split,
        "policy": trajectory.policy,
        "outcome": trajectory.outcome,
    }


def _until_answer(messages: list[Message]) -> list[Message]:
    """Cut off what nobody answered: there is nothing to learn from it."""
    while messages and messages[-1].role != "assistant":
        messages.pop()
    return messages


def _is_readable(call: ToolCall) -> bool:
    try:
        arguments = json.loads(call.arguments or "{}", parse_constant=_refuse)
        json.dumps(arguments, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return bool(call.name) and isinstance(arguments, dict)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _with_ids(messages: Iterable[Message]) -> Iterator[Message]:
    waiting: deque[str] = deque()
    for number, message in enumerate(messages):
        if message.tool_calls:
            calls = [
                replace(
                    call,
                    id=call.id or f"call_{number}_{index}",
                    arguments=call.arguments or "{}",
                )
                for index, call in enumerate(message.tool_calls)
            ]
            pairs = zip(calls, message.tool_calls, strict=True)
            # Answers without an id are first of calls without one.
            waiting = deque(new.id for new, old in sorted(pairs, key=lambda pair: pair[1].id != ""))
            yield replace(message, tool_calls=tuple(calls))
        elif message.role == "tool":
            named = message.tool_call_id or (waiting[0] if waiting else None)
            if named is not None and named in waiting:
                waiting.remove(named)
            yield replace(message, tool_call_id=named)
        else:
            yield message
