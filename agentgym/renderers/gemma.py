"""The syntax `gemma`: keys without quotes and strings between tokens, as Gemma 4 writes it."""

import re
from typing import Any

from agentgym.renderers.calls import (
    MAX_DEPTH,
    Found,
    Schemas,
    Syntax,
    Written,
    blocks,
    dump,
    found,
    read_arguments,
)
from agentgym.renderers.literals import Reader, UnreadableError
from agentgym.types import ToolCall

_CALL = ("<|tool_call>", "<tool_call|>")
_QUOTE = '<|"|>'
_NAME = re.compile(r"\s*call:([^{]{0,256})")
_KEY = re.compile(r"[^\s:{},]{1,256}")


class Gemma(Syntax):
    """Calls as <|tool_call>call:add{a:1,text:<|"|>x<|"|>}<tool_call|>."""

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every block."""
        outside, inside = blocks(text, *_CALL)
        return found(outside, map(_read, inside))

    def write(self, call: ToolCall) -> str:
        """Write a block."""
        arguments = read_arguments(call)
        body = call.arguments if arguments is None else _object(arguments)
        return f"{_CALL[0]}call:{call.name}{body}{_CALL[1]}"


class _Values(Reader):
    """Reads values as Gemma has them."""

    def value(self, levels: int = MAX_DEPTH) -> Any:
        if self.at(_QUOTE):
            stop = self.text.find(_QUOTE, self.place)
            if stop < 0:
                raise UnreadableError("a string without an end")
            start, self.place = self.place, stop + len(_QUOTE)
            return self.text[start:stop]
        return super().value(levels)

    def key(self, levels: int) -> str:
        self.at("")
        is_quoted = self.text.startswith(_QUOTE, self.place)
        return super().key(levels) if is_quoted else self.match(_KEY)


def _read(block: str) -> Written:
    name = _NAME.match(block)
    if name is None:
        return "", block.strip()
    reader = _Values(block, name.end())
    try:
        reader.take("{")
        arguments = reader.mapping(MAX_DEPTH)
        reader.at("")
    except UnreadableError:
        arguments = None
    if arguments is None or reader.place < len(block):
        return name[1].strip(), block[name.end() :].strip()
    return name[1].strip(), dump(arguments)


def _object(value: Any) -> str:
    match value:
        case str():
            return f"{_QUOTE}{value}{_QUOTE}"
        case dict():
            items = (f"{key}:{_object(item)}" for key, item in value.items())
            return "{" + ",".join(items) + "}"
        case list():
            return "[" + ",".join(map(_object, value)) + "]"
    return dump(value)
