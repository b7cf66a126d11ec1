"""An episode as an example for supervised training: what TRL, axolotl and OpenAI's service read."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from agentgym.types import Message, ToolCall, Trajectory

_SURROGATE = re.compile("[\ud800-\udfff]")
# Python's splitlines ends a line here, and so do readers of JSON lines that use it.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


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


def to_line(example: dict[str, Any]) -> bytes:
    """Return an example as one line of valid UTF-8."""
    text = json.dumps(example, ensure_ascii=False, separators=(",", ":"))
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return _LINE_ENDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode() + b"\n"


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
            waiting = deque(call.id for call in calls)
            yield replace(message, tool_calls=tuple(calls))
        elif message.role == "tool":
            answered = waiting.popleft() if waiting else None
            yield replace(message, tool_call_id=message.tool_call_id or answered)
        else:
            yield message
