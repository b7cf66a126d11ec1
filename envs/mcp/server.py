"""`MCPServer`: which server, and which of its tools. Plain data, so that it travels between processes."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from agentgym.errors import ConfigError
from agentgym.tools.limits import missed_by


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
            if wanted := missed_by(name, value):
                raise ConfigError(f"MCPServer: {name}={value!r}, expected {wanted}")

    def __repr__(self) -> str:
        """Show no secrets."""
        return f"MCPServer({self.label!r})"

    @property
    def label(self) -> str:
        """What errors call it: the program or the host, because all the rest may hold secrets."""
        if self.url is None:
            return str(self.command[0])
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _check_transport(self) -> None:
        if self.url is None:
            foreign = "headers" if self.headers else None
        else:
            foreign = "env" if self.env else "cwd" if self.cwd is not None else None
            if not _is_http(self.url):
                raise ConfigError(
                    "MCPServer: url is no address of HTTP",
                    hint='write url="http://..." or url="https://..."',
                )
        if foreign is not None:
            kind = "a command" if self.url is None else "a url"
            raise ConfigError(
                f"MCPServer: {foreign} means nothing beside {kind}", hint="leave it out"
            )

    def _check_texts(self) -> None:
        for name in ("command", "only"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(
                    f"MCPServer: {name} is one text, expected a list",
                    hint=f'write {name}=["...", "..."], one word each',
                )
        for name in ("command", "only", "env", "headers"):
            given = getattr(self, name) or ()
            for key in given if isinstance(given, Mapping) else ():
                self._check_text(f"{name}: a name", key)
            for key, text in given.items() if isinstance(given, Mapping) else enumerate(given):
                self._check_text(f"{name}[{key!r}]", text)
        if not re.fullmatch(r"[a-zA-Z0-9_-]*", self.prefix):
            raise ConfigError(
                f"MCPServer: prefix={self.prefix!r}", hint="use letters, digits, _ and - only"
            )

    def _check_text(self, where: str, text: object) -> None:
        """Name the place and the type of what is no text, not its value: it may be a secret."""
        if not isinstance(text, str | os.PathLike):
            kind = type(text).__name__
            raise ConfigError(f"MCPServer: {where} is of type {kind}, expected a text")
        if where.startswith("headers") and not str(text).isascii():
            raise ConfigError(f"MCPServer: {where} is not ASCII, as HTTP wants it")


def _is_http(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False
