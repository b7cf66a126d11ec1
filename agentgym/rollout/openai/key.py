"""The key of an API: read from the environment, sent in a header, kept out of the record."""

import os
import re
from typing import Self

from agentgym.errors import ConfigError

_HIDDEN = "***"
_MAX_ESCAPES = 4  # backslashes before a character: JSON within JSON, once more in an error
_SECRET_CHARS = 16  # a shorter one is no secret but a word such as "none", which a model may say


class ApiKey:
    """A key, or none; `hide` takes it out of what a server says."""

    def __init__(self, value: str, *, variable: str) -> None:
        self._value = value
        self._written = re.compile(re.sub(r"\\+|[^\\]", _as_written, value))
        self.variable = variable
        """Where it comes from."""

    @classmethod
    def from_env(cls, variable: str) -> Self:
        """Read a variable; where it is not set there is no key.

        Raises:
            ConfigError: what it holds cannot stand in a header.
        """
        value = os.environ.get(variable, "").strip()
        if not re.fullmatch(r"[!-~]*", value):
            raise ConfigError(
                f"the environment variable {variable} holds no key: there are blanks, line ends "
                "or letters beyond ASCII in it",
                hint=f"export {variable}=... with the key and nothing else",
            )
        return cls(value, variable=variable)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"ApiKey({self.variable})"

    @property
    def headers(self) -> dict[str, str]:
        """What proves to the server who asks."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """Take the key out of a text for people, also where JSON's escapes stand in it."""
        return self._written.sub(_HIDDEN, text) if self._value else text

    def hide_in_answer(self, body: bytes) -> bytes:
        """Take the key out of an answer, which is recorded."""
        if len(self._value) < _SECRET_CHARS:
            return body
        return self.hide(body.decode("latin-1")).encode("latin-1")  # whatever the bytes are


def _as_written(part: re.Match[str]) -> str:
    """Return a pattern of a part of the key as it is, or as JSON within JSON may have it."""
    text = part[0]
    if text.startswith("\\"):
        return rf"\\{{{len(text)},{len(text) * _MAX_ESCAPES}}}"
    return rf"\\{{0,{_MAX_ESCAPES}}}(?:{re.escape(text)}|u(?i:{ord(text):04x}))"
