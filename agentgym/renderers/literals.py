"""Values as programs write them, read by one pass over the text with a bound on nesting.

Python's own parser is not used: it can be driven out of memory, or through the end of the stack.
"""

import math
import re
from typing import Any

from agentgym.renderers.calls import MAX_DEPTH

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[-+]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][-+]?\d{1,4})?")
_INTEGER = re.compile(r"[-+]?\d+")
_WORD = re.compile(r"[A-Za-z_][\w.\-]*")
_STRING = {
    '"': re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL),
}
_ESCAPE = re.compile(
    r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|.)", re.DOTALL
)
_ESCAPED = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "a": "\a",
    "0": "\0",
    "\n": "",
}
_WORDS = {
    "True": True, "False": False, "None": None,
    "true": True, "false": False, "null": None,
}  # fmt: skip


class UnreadableError(ValueError):
    """A text is no such value."""


class Reader:
    """A place in a text that moves on."""

    def __init__(self, text: str, place: int = 0) -> None:
        self.text, self.place = text, place

    def at(self, token: str) -> bool:
        """Skip spaces, and a token where it is the next one."""
        space = _SPACE.match(self.text, self.place)
        assert space is not None
        self.place = space.end()
        if not self.text.startswith(token, self.place):
            return False
        self.place += len(token)
        return True

    def take(self, token: str) -> None:
        """Skip a token that must be the next one."""
        if not self.at(token):
            raise UnreadableError(f"expected {token!r}")

    def match(self, pattern: re.Pattern[str]) -> str:
        """Return what a pattern matches here, its group where it has one."""
        found = pattern.match(self.text, self.place)
        if not found:
            raise UnreadableError(f"expected {pattern.pattern}")
        self.place = found.end()
        return found[pattern.groups]

    def word(self) -> str:
        """Return a name, with dots and hyphens."""
        self.at("")
        return self.match(_WORD)

    def value(self, levels: int = MAX_DEPTH) -> Any:
        """Return a string, number, word, list or dictionary."""
        if levels < 0:
            raise UnreadableError("nested too deeply")
        if self.at("["):
            return self.items("]", levels)
        if self.at("("):
            return self.items(")", levels)
        if self.at("{"):
            return self.mapping(levels)
        quote = self.text[self.place : self.place + 1]
        if quote in _STRING:
            return unescape(self.match(_STRING[quote]))
        if quote.isalpha():
            return self._named()
        return _number(self.match(_NUMBER))

    def items(self, closing: str, levels: int) -> list[Any]:
        """Return what stands between here and the end of a list."""
        items: list[Any] = []
        while not self.at(closing):
            items.append(self.value(levels - 1))
            if not self.at(","):
                self.take(closing)
                break
        return items

    def mapping(self, levels: int) -> dict[str, Any]:
        """Return what stands between here and the end of a dictionary."""
        items: dict[str, Any] = {}
        while not self.at("}"):
            key = self.key(levels - 1)
            self.take(":")
            items[key] = self.value(levels - 1)
            if not self.at(","):
                self.take("}")
                break
        return items

    def key(self, levels: int) -> str:
        """Return a key of a dictionary."""
        key = self.value(levels)
        if not isinstance(key, str):
            raise UnreadableError("a key is no string")
        return key

    def _named(self) -> Any:
        word = self.match(_WORD)
        if word not in _WORDS:
            raise UnreadableError(f"{word} is no value")
        return _WORDS[word]


def unescape(text: str) -> str:
    r"""Replace escapes as Python does; one that it does not know stays.

    >>> unescape("a\\nb\\q")
    'a\nb\\q'
    """
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code in "'\"\\":
        return code
    return _ESCAPED.get(code, match[0])


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise UnreadableError(f"{text} is too large")
    return value
