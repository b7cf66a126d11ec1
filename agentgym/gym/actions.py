"""How a text stands for a message of the policy, and back.

A text is a plain message, unless the environment offers tools and the text is JSON of one of
these forms; the forms of the OpenAI API are read, too:

    {"name": "calc", "arguments": {"expression": "2 + 2"}}
    {"tool_calls": [{"name": ..., "arguments": {...}}, ...], "content": "optional text"}
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agentgym.types import Message, ToolCall


def to_message(text: str, *, has_tools: bool = True) -> Message:
    """Return the message that a text stands for.

    >>> to_message('{"name": "run", "arguments": {"n": 1}}').tool_calls
    (ToolCall(name='run', arguments='{"n": 1}', id='call_0'),)
    >>> to_message("4").content
    '4'
    """
    if has_tools and text.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            if calls := _calls(found):
                return Message("assistant", found.get("content") or "", tool_calls=calls)
    return Message("assistant", text)


def to_text(message: Message) -> str:
    """Return the text that stands for a message: what an expert says becomes an action.

    >>> to_text(Message("assistant", tool_calls=(ToolCall("run", '{"n": 1}'),)))
    '{"name": "run", "arguments": {"n": 1}}'
    """
    if not message.tool_calls:
        return message.content
    try:
        return _written(message, _parsed)
    except RecursionError:  # arguments that can be read by themselves may be too deep in others
        return _written(message, str)


def _written(message: Message, arguments: Callable[[str], Any]) -> str:
    calls = [
        {"name": call.name, "arguments": arguments(call.arguments)} for call in message.tool_calls
    ]
    if len(calls) == 1 and not message.content:
        return json.dumps(calls[0], ensure_ascii=False)
    content = {"content": message.content} if message.content else {}
    return json.dumps({**content, "tool_calls": calls}, ensure_ascii=False)


def _calls(found: Any) -> tuple[ToolCall, ...]:
    """Return the calls in one of the forms; none where it is any other JSON."""
    if not isinstance(found, dict) or not isinstance(found.get("content") or "", str):
        return ()
    listed = found.get("tool_calls", [found])
    if not isinstance(listed, list):
        return ()
    calls = [_call(each, number) for number, each in enumerate(listed)]
    return tuple(call for call in calls if call) if all(calls) else ()


def _call(given: Any, number: int) -> ToolCall | None:
    if not isinstance(given, dict):
        return None
    named = given.get("function", given)
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        return None
    if "arguments" not in named:
        return None
    arguments, id = named["arguments"], given.get("id")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(named["name"], text, id if isinstance(id, str) and id else f"call_{number}")


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
