"""TOML with line numbers: reading a file key by key, and writing single values.

TOML has no null: the string "null" stands for it, in files as on the command line.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agentgym.errors import ConfigError

KeyPath = tuple[str, ...]


class Entry(NamedTuple):
    """One assignment of a file."""

    path: KeyPath
    value: Any
    line: int
    comment: str
    """What follows the last ` # ` of its lines."""


def read_toml(file: str | Path) -> list[Entry]:
    """Return the assignments of a file in order; a table without keys is an entry `{}`.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    text = _read_text(file)
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_locate(file, str(error), text)) from error
    except RecursionError as error:
        raise ConfigError(f"{file} has lists in lists, deeper than can be read") from error
    entries: list[Entry] = []
    prefix: KeyPath = ()
    lists: list[KeyPath] = []
    for line, chunk, table in _statements(text):
        if not chunk.lstrip().startswith("["):
            if not _inside(prefix, lists):
                entries += _leaves(prefix, table, line, _comment(chunk))
            continue
        prefix = _only_path(table)
        if chunk.lstrip().startswith("[["):
            if prefix not in lists:
                value = _with_nulls(_lookup(whole, prefix))
                entries.append(Entry(prefix, value, line, _comment(chunk)))
                lists.append(prefix)
        elif not _inside(prefix, lists):
            entries.append(Entry(prefix, {}, line, _comment(chunk)))
    return entries


def parse_value(text: str) -> Any:
    """Read a value as TOML; what is no TOML value is the text itself.

    >>> parse_value("0.1"), parse_value("[1, 2]"), parse_value("runs/a"), parse_value("'5'")
    (0.1, [1, 2], 'runs/a', '5')
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return _with_nulls(text)
    value = table.pop("value")
    is_json = isinstance(value, bool | int | float | str | list | dict)
    return _with_nulls(value) if is_json and not table else text


def render_value(value: Any) -> str:
    """Write a value as TOML; None becomes "null"."""
    match value:
        case None:
            return '"null"'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case Mapping():
            items = (f"{render_key(key)} = {render_value(item)}" for key, item in value.items())
            return f"{{{', '.join(items)}}}"
        case list() | tuple():
            return f"[{', '.join(render_value(item) for item in value)}]"
        case _:
            return render_value(str(value))


def render_key(key: str) -> str:
    """Write one part of a key, quoted where it must be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else render_value(key)


def _read_text(file: str | Path) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").replace("\r\n", "\n")
    except FileNotFoundError as error:
        hint = "give the path of a TOML file; keys and defaults: agentgym config show env.id=ENV"
        raise ConfigError(f"no configuration file {str(file)!r}", hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read the configuration file {str(file)!r}: {reason}") from error


def _locate(file: str | Path, message: str, text: str) -> str:
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if match is None:
        return f"{file}: not valid TOML: {message}"
    line = match[1] or len(text.splitlines())
    return f"{file}:{line}: not valid TOML: {message[: match.start()]}"


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Cut valid TOML into (line, text, parsed): the shortest runs of lines that parse."""
    lines = text.split("\n")
    first = 0
    for stop in range(1, len(lines) + 1):
        chunk = "\n".join(lines[first:stop])
        try:
            table = tomllib.loads(chunk)
        except tomllib.TOMLDecodeError:
            continue
        if table:
            yield first + 1, chunk, table
        first = stop


def _leaves(path: KeyPath, value: Any, line: int, comment: str) -> list[Entry]:
    if isinstance(value, dict) and value:
        parts = (_leaves((*path, key), item, line, comment) for key, item in value.items())
        return [entry for part in parts for entry in part]
    return [Entry(path, _with_nulls(value), line, comment)]


def _with_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    return None if value == "null" else value


def _comment(chunk: str) -> str:
    return chunk.rpartition(" # ")[2].strip() if " # " in chunk else ""


def _only_path(table: Any) -> KeyPath:
    path: list[str] = []
    while table:
        key, table = next(iter(table.items()))
        path.append(key)
        table = table[0] if isinstance(table, list) else table
    return tuple(path)


def _inside(path: KeyPath, lists: list[KeyPath]) -> bool:
    return any(path[: len(known)] == known for known in lists)


def _lookup(table: Any, path: KeyPath) -> Any:
    for key in path:
        table = table[key]
    return table
