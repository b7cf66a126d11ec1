"""`MCPServer`: which server, and which of its tools. Plain data, so that it travels between processes."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from agentgym.errors import ConfigError


@dataclass(frozen=True, kw_only=True, repr=False)
class MCPServer:
    """A server of the Model Context Protocol whose tools an environment offers as its own.

    Each episode gets a process of its own, or a session of its own over HTTP; it ends with the
    episode. A process is started with your rights, outside of any sandbox.

    Raises:
        ConfigError: the description is wrong; the error says what to write.
    """

    command: Sequence[str | Path] = ()
    """The program and its arguments; it talks over stdin and stdout."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables beside HOME, LOGNAME, PATH, SHELL, TERM and USER, which it always gets."""
    cwd: str | Path | None = None
    """Its working folder."""
    url: str | None = None
    """Instead of a command: where a server listens that speaks streamable HTTP."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every HTTP request."""
    prefix: str = ""
    """Stands before the name of every tool."""
    only: Sequence[str] | None = None
    """The tools to take, by the names the server gives them; None: all of them."""
    timeout_s: float = 30.0
    """A call that takes longer becomes an observation."""
    max_output_chars: int = 8000
    """Of a longer result the head and the tail are kept."""
    start_timeout_s: float = 30.0
    """How long it may take to start and to list its tools; more is a fault."""

    def __post_init__(self) -> None:
        if bool(self.command) == (self.url is not None):
            raise ConfigError(
                "an MCPServer needs either a command or a url",
                hint='write command=["python", "server.py"] or url="http://..."',
            )
        self._check_transport()
        self._check_texts()
        # As tuples of texts, whatever they came as: equal after a journey through JSON.
        object.__setattr__(self, "command", tuple(os.fspath(word) for word in self.command))
        if self.only is not None:
            object.__setattr__(self, "only", tuple(self.only))
        for name in ("timeout_s", "max_output_chars", "start_timeout_s"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and value > 0):
                raise ConfigError(f"MCPServer: {name}={value!r}, expected a number above 0")

    def __repr__(self) -> str:
        """Show no secrets."""
        return f"MCPServer({self.label!r})"

    @property
    def label(self) -> str:
        """What errors call it; without the secrets that an address may hold."""
        if self.url is None:
            return shlex.join(str(word) for word in self.command)
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _check_transport(self) -> None:
        if self.url is None:
            foreign = "headers" if self.headers else None
        else:
            foreign = "env" if self.env else "cwd" if self.cwd is not None else None
            if urlsplit(self.url).scheme not in ("http", "https"):
                raise ConfigError(
                    f"MCPServer: url={self.url!r}", hint="it begins with http:// or https://"
                )
        if foreign is not None:
            kind = "a command" if self.url is None else "a url"
            raise ConfigError(
                f"MCPServer: {foreign} means nothing beside {kind}", hint="leave it out"
            )

    def _check_texts(self) -> None:
        for name in ("command", "only"):
            if isinstance(words := getattr(self, name), str):
                raise ConfigError(
                    f"MCPServer: {name}={words!r} is one text, expected a list",
                    hint=f'write {name}=["...", "..."], one word each',
                )
        for name in ("command", "only", "env", "headers"):
            given = getattr(self, name) or ()
            texts = [*given, *given.values()] if isinstance(given, Mapping) else given
            for text in texts:
                if not isinstance(text, str | os.PathLike):
                    raise ConfigError(f"MCPServer: {name} holds {text!r}, expected texts")
                if name == "headers" and not str(text).isascii():
                    raise ConfigError("MCPServer: a header is not ASCII, as HTTP wants it")
        if not re.fullmatch(r"[a-zA-Z0-9_-]*", self.prefix):
            raise ConfigError(
                f"MCPServer: prefix={self.prefix!r}", hint="use letters, digits, _ and - only"
            )
