"""What a tool gives back, and what becomes of a call."""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel

from agentgym.types import Message, ToolCall


class ToolError(Exception):
    """Raised by a tool to tell the model that it did something wrong."""


@dataclass(frozen=True, slots=True)
class Final:
    """What a tool returns to end the episode: the last observation and the reward terms."""

    content: str
    reward: dict[str, float] = field(default_factory=dict)
    """Beside what the environment's own rewards give."""


class ToolResult(NamedTuple):
    """What became of one call."""

    message: Message
    final: Final | None = None
    valid: bool = True
    """False: the model did something wrong."""
    timed_out: bool = False


def reply(call: ToolCall, text: str) -> Message:
    """Return the message that answers a call."""
    if not text.isascii():  # JSON can spell lone surrogates, which no file can hold
        text = text.encode("utf-8", "replace").decode()
    return Message("tool", text, tool_call_id=call.id)


def refused(call: ToolCall, text: str) -> ToolResult:
    """Return the result of a call in which the model did something wrong."""
    return ToolResult(reply(call, text), valid=False)


def to_text(value: object) -> str:
    """Return text as it is, anything else as JSON; pydantic models and dataclasses as objects.

    Raises:
        TypeError, ValueError: it is no JSON.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=_fields)


def _fields(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")


def cut(text: str, limit: int) -> str:
    r"""Keep the head and the tail of a long text.

    >>> cut("abcdef", 4)
    'ab\n... 2 characters left out ...\nef'
    """
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 2, limit // 2
    left_out = f"\n... {len(text) - limit} characters left out ...\n"
    return text[:head] + left_out + text[len(text) - tail :]
