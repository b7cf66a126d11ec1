"""The syntax `pythonic`: a list of calls of Python, as Llama 4 and LFM 2 write it."""

import re
from typing import Any

from agentgym.renderers.calls import (
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

_TOKENS = (("<|tool_call_start|>", "<|tool_call_end|>"), ("<|python_start|>", "<|python_end|>"))
_CALL = r"\[\s*[A-Za-z_][\w.\-]{0,255}\("
_FIRST, _ANY = re.compile(rf"\s*({_CALL})"), re.compile(rf"^{_CALL}", re.MULTILINE)
_NAME = re.compile(r"\s*\[\s*([^\s(]{0,256})\(")


class Pythonic(Syntax):
    """Calls as [add(a=1), run(code="x")], between tokens of control where there are any.

    Without tokens a list begins its line. What cannot be read is a call only between tokens, or
    where it begins the answer.
    """

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every list."""
        for opening, closing in _TOKENS:
            if opening in text:
                outside, inside = blocks(text, opening, closing)
                return found(outside, [call for each in inside for call in _whole(each)])
        if not _FIRST.match(text):
            return _among_lines(text)
        reader = Reader(text)
        try:
            calls = _list(reader)
        except UnreadableError:
            return found("", _unread(text))
        return found(text[reader.place :], calls)

    def write(self, call: ToolCall) -> str:
        """Write a list of one call."""
        opening, closing = _TOKENS[0]
        arguments = read_arguments(call)
        if arguments is None:
            return f"{opening}{call.arguments}{closing}"
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        return f"{opening}[{call.name}({given})]{closing}"


def _whole(text: str) -> list[Written]:
    """Read a text that is to be a list and nothing else."""
    reader = Reader(text)
    try:
        calls = _list(reader)
        reader.at("")
    except UnreadableError:
        return _unread(text)
    return calls if reader.place == len(text) and calls else _unread(text)


def _among_lines(text: str) -> Found:
    """Read the lists that begin a line behind other text."""
    outside, calls, place = [], [], 0
    while start := _ANY.search(text, place):
        reader = Reader(text, start.start())
        try:
            calls += _list(reader)
        except UnreadableError:
            reader.place = start.end()
            outside.append(text[place : reader.place])
        else:
            outside.append(text[place : start.start()])
        place = reader.place
    return found("".join([*outside, text[place:]]), calls)


def _unread(text: str) -> list[Written]:
    name = _NAME.match(text)
    return [(name[1] if name else "", text.strip())]


def _list(reader: Reader) -> list[Written]:
    """Read a list of calls.

    Raises:
        UnreadableError: it is none.
    """
    calls: list[Written] = []
    reader.take("[")
    while not reader.at("]"):
        name = reader.word()
        reader.take("(")
        calls.append((name, dump(_arguments(reader))))
        if not reader.at(","):
            reader.take("]")
            break
    return calls


def _arguments(reader: Reader) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    while not reader.at(")"):
        key = reader.word()
        reader.take("=")
        arguments[key] = reader.value()
        if not reader.at(","):
            reader.take(")")
            break
    return arguments
