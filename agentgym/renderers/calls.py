"""What the syntaxes of tool calls share. A syntax is one file here and one line in `syntaxes.py`.

Reading never fails, whatever a model wrote, and takes time in proportion to the text: what
cannot be read keeps its text as the arguments of the call.
"""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn

from agentgym.types import ToolCall

Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON Schema of the parameters of each tool."""

Written = tuple[str, str]
"""The name of a tool, and its arguments: an object in JSON, or what else was written."""

MAX_DEPTH = 64  # of nested arguments: more is no call, but a way to exhaust somebody's stack


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)

_NAME = re.compile(r'"name"\s*:\s*"([^"\\]*)"')
_SURROGATE = re.compile("[\ud800-\udfff]")
_PYTHON_WORDS = {"True": True, "False": False, "None": None}


class Found(NamedTuple):
    """What was read in a text."""

    content: str
    """What stands outside of the calls."""
    calls: tuple[ToolCall, ...]


class Syntax(ABC):
    """One way to write tool calls as text."""

    thoughts: Literal["content", "field"] | None = None
    """Where a template that writes so takes thoughts; None: it is asked."""

    @abstractmethod
    def read(self, text: str, schemas: Schemas) -> Found:
        """Split what a model wrote. Never raises; without a call the content is the text.

        Marks of channels are left out where a syntax has them, and thoughts stand in tags.
        """

    @abstractmethod
    def write(self, call: ToolCall) -> str:
        """Write a call, also one whose arguments are no object."""


def found(outside: str, written: Iterable[Written]) -> Found:
    """Number the calls that were read."""
    calls = tuple(ToolCall(*each, f"call_{number}") for number, each in enumerate(written))
    return Found(outside.strip() if calls else outside, calls)


def blocks(text: str, opening: str, closing: str) -> tuple[str, list[str]]:
    """Return what stands outside of blocks, and what in each; the last one may lack its end.

    >>> blocks("a <b>c</b> d <b>e", "<b>", "</b>")
    ('a  d ', ['c', 'e'])
    """
    outside, inside, place = [], [], 0
    while (start := text.find(opening, place)) >= 0:
        stop = text.find(closing, start + len(opening))
        stop = len(text) if stop < 0 else stop
        outside.append(text[place:start])
        inside.append(text[start + len(opening) : stop])
        place = stop + len(closing)
    return "".join([*outside, text[place:]]), inside


def read_json_call(text: str, *, arguments: str = "arguments") -> Written:
    """Read a call that is an object with a name and arguments.

    >>> read_json_call('{"name": "add", "arguments": {"a": 1}}')
    ('add', '{"a": 1}')
    """
    return written(load(text), text, arguments=arguments)


def written(call: Any, text: str, *, arguments: str = "arguments") -> Written:
    """Return a call that was read; otherwise its text, and the name that may be in it."""
    if isinstance(call, dict) and isinstance(name := call.get("name"), str):
        given = call.get(arguments, {})
        if isinstance(given, dict):
            return name, dump(given)
    seen = _NAME.search(text)
    return seen[1] if seen else "", text.strip()


def load(text: str) -> Any:
    """Return the value of a JSON text; None where there is none, or one nested too deeply."""
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if is_shallow(value) else None


def is_shallow(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Return whether a value is nested at most so deeply."""
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(is_shallow(item, levels - 1) for item in items)


def read_arguments(call: ToolCall) -> dict[str, Any] | None:
    """Return the arguments of a call as an object; None when they are none."""
    arguments = load(call.arguments or "{}")
    return arguments if call.name and isinstance(arguments, dict) else None


def dump(value: Any) -> str:
    """Return JSON that can be encoded: only what UTF-8 lacks is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(value)


def typed(text: str, schema: Any) -> Any:
    """Read a bare value, unless it is or may be a string by its schema."""
    options = schema.get("anyOf", (schema,)) if isinstance(schema, Mapping) else ()
    kinds = [option.get("type") for option in options if isinstance(option, Mapping)]
    if not schema or any(kind == "string" or "string" in (kind or ()) for kind in kinds):
        return text
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    value = load(text)
    return text if value is None and text != "null" else value
