"""The filter language of episode lists, as a condition of SQL.

    outcome>0 end=terminated task~kitchen step>=3 label=none text:"opened the door"

Terms stand side by side and must all hold. A term is `key op value`; a value with spaces stands in
double quotes, in which a backslash takes the next character as it is. `~` is "contains", in any
case of the letters a to z. `none` is what has no value. `text:` searches what was said.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentgym.errors import ConfigError
from agentgym.viewer.entries import clean

LONGEST = 4000
"""Characters of a filter."""

MOST_TERMS = 100
"""Terms of a filter: SQLite understands no condition that goes very deep."""

_TERM = re.compile(
    r"""(?P<key>[A-Za-z_]+)\s*(?P<op>!=|<=|>=|[=<>~:])\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]+)?""",
    re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?(\d{1,18}(\.\d*)?|\.\d+)([eE][-+]?\d{1,2})?")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_ENDS = ("terminated", "truncated", "error")


class Key(NamedTuple):
    """A column that can be asked for."""

    column: str
    is_number: bool = False


KEYS = {
    "id": Key("id"),
    "group": Key("grp"),
    "member": Key("member", True),
    "attempt": Key("attempt", True),
    "task": Key("task"),
    "env": Key("env"),
    "split": Key("split"),
    "end": Key('"end"'),
    "reason": Key("reason"),
    "outcome": Key("outcome", True),
    "reward": Key("reward", True),
    "turns": Key("turns", True),
    "tokens": Key("tokens", True),
    "version_min": Key("version_min", True),
    "version_max": Key("version_max", True),
    "step": Key("step", True),
    "parent": Key("parent"),
    "fork_step": Key("fork_step", True),
    "label": Key("label"),
    "tag": Key("tag"),
}


class FilterError(ConfigError):
    """Raised for a filter that says nothing; `at` is the place in it, from 0."""

    def __init__(self, message: str, *, at: int, hint: str | None = None) -> None:
        super().__init__(f"{message}, at character {at + 1}", hint=hint)
        self.at = at


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the columns of `listing.SEEN`, and the values of its question marks."""

    sql: str = "1"
    values: tuple[Any, ...] = ()
    wants_text: bool = False
    """Whether it searches what was said."""
    wants_tags: bool = False


def parse_where(text: str) -> Where:
    """Read a filter; an empty one lets everything through.

    Raises:
        FilterError: it cannot be understood; where, and what could be meant.
    """
    if len(text) > LONGEST:
        raise FilterError(f"a filter has at most {LONGEST} characters", at=LONGEST)
    parts: list[str] = []
    values: list[Any] = []
    wants_text, wants_tags, at = False, False, 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        term = _TERM.match(text, at)
        if term is None or term["value"] is None:
            raise _no_term(text, at, term)
        if term.end() < len(text) and not text[term.end()].isspace():
            raise FilterError("expected a space between terms", at=term.end(), hint=_QUOTES)
        if len(parts) == MOST_TERMS:
            raise FilterError(f"a filter has at most {MOST_TERMS} terms", at=at)
        sql, given = _condition(term)
        wants_text |= term["key"] == "text"
        wants_tags |= term["key"] == "tag"
        parts.append(sql)
        values += given
        at = term.end()
    return Where(" AND ".join(parts) or "1", tuple(values), wants_text, wants_tags)


_QUOTES = 'a value with spaces or quotes stands in quotes: task~"the red door"'


def _no_term(text: str, at: int, term: re.Match[str] | None) -> FilterError:
    if term is not None and text[term.end() : term.end() + 1] == '"':
        return FilterError("a quote that is not closed", at=term.end(), hint=_QUOTES)
    if term is not None:
        return FilterError(f"{term['key']} has no value", at=term.end(), hint="write outcome>0")
    word = text[at : at + 20].split()[0]
    return FilterError(
        f"expected key, operator and value, got {word!r}",
        at=at,
        hint=f'write outcome>0, or text:"..." to search in what was said; keys: {", ".join(KEYS)}',
    )


def _condition(term: re.Match[str]) -> tuple[str, list[Any]]:
    name, op, value = term["key"], term["op"], clean(_plain(term["value"]))
    if name == "text" and op == ":":
        return said(), [phrase(value)]
    if op == ":":
        raise FilterError("`:` belongs to text", at=term.start("op"), hint=f"write {name}=...")
    if name not in KEYS:
        close = difflib.get_close_matches(name, [*KEYS, "text"], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"keys: {', '.join(KEYS)}, text:"
        raise FilterError(f"unknown key {name!r}", at=term.start("key"), hint=hint)
    key = KEYS[name]
    if value == "none" and term["value"] == "none":
        return _absence(name, key, op, at=term.start("op"))
    if key.is_number:
        return _number_condition(key, op, value, at=term.start("op"), of=term.start("value"))
    if name == "end" and op in ("=", "!=") and value not in _ENDS:
        raise FilterError(
            f"no episode ends {value!r}", at=term.start("value"), hint=f"ends: {', '.join(_ENDS)}"
        )
    return _text_condition(name, key, op, value, at=term.start("op"))


def _absence(name: str, key: Key, op: str, *, at: int) -> tuple[str, list[Any]]:
    if op not in ("=", "!="):
        raise FilterError(f"none has no {op}", at=at, hint="write =none or !=none")
    negated = "NOT " if op == "!=" else ""
    if name == "tag":
        return f"{negated}NOT EXISTS (SELECT 1 FROM tag t WHERE t.id = seen.id)", []
    return f"{negated}{key.column} IS NULL", []


def _number_condition(key: Key, op: str, value: str, *, at: int, of: int) -> tuple[str, list[Any]]:
    if op == "~":
        raise FilterError("~ is for text", at=at, hint="numbers have = != < <= > >=")
    if not _NUMBER.fullmatch(value):
        raise FilterError(f"expected a number, got {value!r}", at=of)
    return f"{key.column} {_SQL.get(op, op)} ?", [float(value)]


def _text_condition(name: str, key: Key, op: str, value: str, *, at: int) -> tuple[str, list[Any]]:
    if op not in ("=", "!=", "~"):
        raise FilterError(f"{op} is for numbers", at=at, hint="text has = != ~")
    if name == "tag":
        negated, op = ("NOT ", "=") if op == "!=" else ("", op)
        inside, values = _compared("t.tag", op, value)
        return f"{negated}EXISTS (SELECT 1 FROM tag t WHERE t.id = seen.id AND {inside})", values
    return _compared(key.column, op, value)


def _compared(column: str, op: str, value: str) -> tuple[str, list[Any]]:
    if op == "~":
        return f"coalesce(instr(lower({column}), ?) > 0, 0)", [value.translate(_LOWER)]
    return f"{column} {_SQL[op]} ?", [value]


_SQL = {"=": "IS", "!=": "IS NOT"}  # what has no value is not equal to anything


def said() -> str:
    """Return the condition that a phrase was said in an episode."""
    return "row IN (SELECT rowid FROM words WHERE words MATCH ?)"


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value[0] == '"' else value


def phrase(value: str) -> str:
    """Return a phrase for FTS5 whose last word may go on."""
    return '"' + value.replace('"', '""').replace("\0", " ") + '"*'
