"""The merged values of a configuration, and the source of each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agentgym.config.toml import KeyPath, parse_value
from agentgym.errors import ConfigError

COMMAND_LINE = "command line"


@dataclass
class Layers:
    """The merged values, and the source of each leaf."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[KeyPath, str] = field(default_factory=dict)

    def put(self, path: KeyPath, value: Any, source: str) -> None:
        """Lay a value over what is there; tables are merged key by key."""
        if isinstance(value, dict):
            self._table(path)
            for key, item in value.items():
                self.put((*path, key), item, source)
            self.sources.setdefault(path, source)
            return
        self.forget(path)
        self._table(path[:-1])[path[-1]] = value
        self.sources[path] = source

    def override(self, text: str) -> None:
        """Take `key=value` or `key+=[...]`; a table replaces the one before.

        Raises:
            ConfigError: it is neither.
        """
        key, equals, value_text = text.partition("=")
        path = tuple(key.removesuffix("+").strip().split("."))
        if not equals or not all(path):
            hint = "write key=value, for example train.steps=100"
            raise ConfigError(f"{COMMAND_LINE}: not an assignment: {text!r}", hint=hint)
        value, source = parse_value(value_text.strip()), COMMAND_LINE
        if key.endswith("+"):
            value, source = self._appended(path, value)
        self.forget(path)
        self.put(path, value, source)

    def at(self, path: KeyPath) -> Any:
        """Return the value or the table at a key; None where there is none."""
        value: Any = self.values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def source(self, path: KeyPath, otherwise: str) -> str:
        """Return where a key was set; for a table without a place, where anything in it was."""
        if path in self.sources:
            return self.sources[path]
        inside = (self.sources[known] for known in self.sources if known[: len(path)] == path)
        return next(inside, otherwise)

    def blame(self, path: KeyPath) -> str:
        """Return the source to name in an error: the key's own, else of what it stands in."""
        longest_first = (path[:depth] for depth in range(len(path), 0, -1))
        found = (self.source(part, "") for part in longest_first)
        return next(filter(None, found), COMMAND_LINE)

    def forget(self, path: KeyPath) -> None:
        """Take a key or a table out."""
        for known in [known for known in self.sources if known[: len(path)] == path]:
            del self.sources[known]
        table: Any = self.values
        for key in path[:-1]:
            table = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table.pop(path[-1], None)

    def _appended(self, path: KeyPath, value: Any) -> tuple[list[Any], str]:
        before = self.at(path)
        if not isinstance(value, list) or not isinstance(before, list):
            raise ConfigError(
                f"{COMMAND_LINE}: `{dotted(path)}+=` appends a list to a list that a file sets",
                hint=f"write {dotted(path)}=[...] to set the whole list",
            )
        return before + value, f"{self.sources[path]}, {COMMAND_LINE}"

    def _table(self, path: KeyPath) -> dict[str, Any]:
        table = self.values
        for depth, key in enumerate(path):
            if not isinstance(table.get(key), dict):
                self.forget(path[: depth + 1])
                table[key] = {}
            table = table[key]
        return table


def dotted(path: Iterable[str]) -> str:
    """Write a path as it stands in files and errors."""
    return ".".join(path)
