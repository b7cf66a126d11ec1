"""How tool calls are written in text: read by `parse_hermes` and `parse_xml`.

Reading never fails: what cannot be read keeps its text as the arguments of the call.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from agentgym.types import ToolCall

Syntax = Literal["hermes", "xml"]
Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON Schema of the parameters of each tool."""

_HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]*)"')
_FUNCTION = re.compile(
    r"(?:<tool_call>\s*)?<function=([^>\n]*)>(.*?)(?:</function>(?:\s*</tool_call>)?|\Z)", re.DOTALL
)
_PARAMETER = re.compile(r"<parameter=([^>\n]*)>(.*?)</parameter>", re.DOTALL)
_PYTHON_WORDS = {"True": True, "False": False, "None": None}


def parse_hermes(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Split text into content and calls of the form <tool_call>{"name", "arguments"}</tool_call>.

    >>> parse_hermes('Hi <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    ('Hi', (ToolCall(name='add', arguments='{"a": 1}', id='call_0'),))
    """
    return _split(_HERMES, text, lambda match: _hermes_call(match[1]))


def parse_xml(text: str, *, wrap: str, schemas: Schemas) -> tuple[str, tuple[ToolCall, ...]]:
    """Split text into content and calls of the form <function=NAME><parameter=ARG>VALUE...

    Values are bare text; those that a schema does not call strings are read as JSON. `wrap` is
    what surrounds each value.

    >>> text = "<function=add><parameter=a>1</parameter></function>"
    >>> parse_xml(text, wrap="", schemas={"add": {"properties": {"a": {"type": "integer"}}}})
    ('', (ToolCall(name='add', arguments='{"a": 1}', id='call_0'),))
    """

    def read(match: re.Match[str]) -> tuple[str, str]:
        name, body = match[1], match[2]
        if _PARAMETER.sub("", body).strip():
            return name, body
        properties = schemas.get(name, {}).get("properties", {})
        return name, dump(
            {
                key: _typed(value.removeprefix(wrap).removesuffix(wrap), properties.get(key, {}))
                for key, value in _PARAMETER.findall(body)
            }
        )

    return _split(_FUNCTION, text, read)


def read_arguments(call: ToolCall) -> dict[str, Any] | None:
    """Return the arguments of a call as an object; None when they are none."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return arguments if call.name and isinstance(arguments, dict) else None


def raw_text(call: ToolCall, syntax: Syntax | None) -> str:
    """Return the text of a call that could not be read."""
    if syntax == "hermes":
        return f"<tool_call>\n{call.arguments}\n</tool_call>"
    return f"<function={call.name}>{call.arguments}</function>"


def dump(value: Any) -> str:
    """Return JSON that can be encoded: only what UTF-8 lacks is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(value)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _split(
    pattern: re.Pattern[str], text: str, read: Callable[[re.Match[str]], tuple[str, str]]
) -> tuple[str, tuple[ToolCall, ...]]:
    matches = list(pattern.finditer(text))
    if not matches:
        return text, ()
    calls = tuple(ToolCall(*read(match), f"call_{n}") for n, match in enumerate(matches))
    return pattern.sub("", text).strip(), calls


def _hermes_call(text: str) -> tuple[str, str]:
    try:
        call = json.loads(text)
        name, arguments = call["name"], call.get("arguments", {})
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        name = arguments = None
    if isinstance(name, str) and isinstance(arguments, dict):
        return name, dump(arguments)
    seen = _NAME.search(text)
    return seen[1] if seen else "", text.strip()


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """Read a bare value, unless it is or may be a string."""
    kinds = {option.get("type") for option in schema.get("anyOf", (schema,))}
    if "string" in kinds or not schema:
        return text
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
