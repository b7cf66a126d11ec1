"""Addresses to handlers. Names in an address may hold any character, a slash too.

So an address is taken apart before it is decoded, and what was in it is only ever looked up.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.responses import Response
from starlette.types import Scope

from agentgym.errors import AgentGymError, ConfigError
from agentgym.viewer.guard import IS_OWNER

_NUMBER = re.compile(r"-?\d{1,15}")


class NotFoundError(AgentGymError):
    """Raised for what is not there."""


class RefusedError(AgentGymError):
    """Raised for what this server does not do, or not for whoever asks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as handlers see it."""

    names: Mapping[str, str]
    """The parts of the address that stand in braces."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    """What was sent along, of a POST."""
    is_owner: bool = False
    """Whether it has the token of who started the server."""

    def json(self) -> dict[str, Any]:
        """Return the object that was sent.

        Raises:
            ConfigError: it is none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"expected JSON: {error}") from error
        if not isinstance(value, dict):
            raise ConfigError(f"expected an object, got {type(value).__name__}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return a word of the query."""
        return self.query.get(name, default)

    def number(self, name: str, default: int) -> int:
        """Return a number of the query, 0 or more.

        Raises:
            ConfigError: it is none.
        """
        value = self.query.get(name)
        if value is None:
            return default
        if not _NUMBER.fullmatch(value) or int(value) < 0:
            raise ConfigError(f"{name} is {value[:40]!r}, expected a number from 0 on")
        return int(value)

    def words(self, name: str) -> list[str]:
        """Return a list of the query that is separated by commas; without the empty ones."""
        return [word for word in self.query.get(name, "").split(",") if word]


Handler = Callable[[Asked], Response] | Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """`/api/runs/{run}`: a part in braces is any name."""

    pattern: str
    handler: Handler
    method: str = "GET"

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """Return the names in an address; None: it is another one."""
        own = split_path(self.pattern)
        if len(own) != len(parts):
            return None
        names = {}
        for mine, given in zip(own, parts, strict=True):
            if mine.startswith("{"):
                names[mine.strip("{}")] = given
            elif mine != given:
                return None
        return names


def split_path(path: str) -> list[str]:
    """Return the parts of an address, decoded one by one.

    >>> split_path("/api/runs/a%2Fb/")
    ['api', 'runs', 'a/b', '']

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return [unquote_to_bytes(part).decode("utf-8") for part in path.split("/")[1:]]
    except UnicodeDecodeError as error:
        raise ConfigError("the address is not UTF-8", hint="encode it as %C3%A9") from error


def read_asked(scope: Scope, names: Mapping[str, str], body: bytes = b"") -> Asked:
    """Return what handlers see of a request.

    Raises:
        ConfigError: the query is not UTF-8, or has too many words.
    """
    raw = scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=100)
    except (UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"the query cannot be read: {error}") from error
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    return Asked(names, dict(pairs), headers, body, scope.get(IS_OWNER, False))
