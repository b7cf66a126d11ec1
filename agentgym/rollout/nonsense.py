"""What a broken model may say: every kind of it, each with its name."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentgym.types import Message, ToolCall, ToolSpec

_HUGE = "x" * 1_000_000
_UNICODE = "e\u0301 \u202eabc\u202c \U0001f9ea \u0000 \ufffe"


def nonsense(tools: Sequence[ToolSpec]) -> Iterator[tuple[str, Message]]:
    """Yield (what it is, message): texts, calls of tools that are not there, bad arguments."""
    for what, text in (
        ("an empty message", ""),
        ("blank text", " \n\t"),
        ("a huge text", _HUGE),
        ("Unicode and NUL", _UNICODE),
        ("a NUL", "\0"),
        ("JSON", '{"name": "x", "arguments": {}}'),
    ):
        yield what, Message("assistant", text)
    for name in ("", "no_such_tool", _UNICODE, _HUGE):
        yield "a call of an unknown tool", _call((name, "{}"))
    for tool in tools:
        for what, arguments in _bad_arguments(tool):
            yield f"a call of {tool.name} with {what}", _call((tool.name, arguments))
        yield f"twenty calls of {tool.name}", _call(*[(tool.name, "{}")] * 20)


def _bad_arguments(tool: ToolSpec) -> Iterator[tuple[str, str]]:
    yield "no JSON", "{"
    yield "no arguments", ""
    yield "a list", "[]"
    yield "null", "null"
    yield "deep nesting", "[" * 100_000
    yield "an unknown argument", '{"no_such_argument": 1}'
    properties = tool.parameters.get("properties")
    names = list(properties) if isinstance(properties, Mapping) else []
    values: dict[str, Any] = {
        "null values": None,
        "lists": [[]],
        "huge text": _HUGE,
        "Unicode and NUL": _UNICODE,
        "a lone surrogate": "\ud800",
        "a huge number": 10**400,
        "a negative number": -1,
    }
    for what, value in values.items():
        yield what, json.dumps(dict.fromkeys(names, value))
    yield "NaN", json.dumps(dict.fromkeys(names, math.nan))


def _call(*calls: tuple[str, str]) -> Message:
    return Message(
        "assistant",
        tool_calls=tuple(
            ToolCall(name, arguments, f"call_{number}")
            for number, (name, arguments) in enumerate(calls)
        ),
    )
