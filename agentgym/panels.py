"""What an environment draws of a state for people: grids, differences, tables, terminal output.

Panels are plain values and never markup. They are recorded with the step that led to them, and
nothing else looks at them: no policy, no reward, no replay.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from agentgym.errors import EnvError, StoreError

Value = str | int | float | bool | None

MOST_PANELS = 8
"""Of one state."""
MOST_CELLS = 10_000
"""Of one panel."""
MOST_CHARS = 100_000
"""Of all texts of one panel; what is longer is cut, since models write long things."""

_LARGEST = 2**53  # of what reads JSON, some keep numbers as doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Cells in rows. A row may be given as a text, whose characters are the cells."""

    kind: ClassVar[str] = "grid"

    rows: Sequence[Sequence[str]]
    """Rows of the same length, from the top; a cell is a mark of a few characters."""
    legend: Mapping[str, str] = field(default_factory=dict)
    """What marks mean: `{"K": "key"}`. A mark that stands here is drawn in a colour."""
    title: str = ""

    def __post_init__(self) -> None:
        rows = tuple(
            tuple(_text(each, "a cell") for each in _some(row)) for row in _some(self.rows)
        )
        if len({len(row) for row in rows}) > 1:
            raise EnvError(
                f"the rows of a Grid have {', '.join(str(len(row)) for row in rows[:8])} cells, "
                "expected the same number in all"
            )
        legend = {_text(mark, "a mark"): _text(word, "a word")[:200] for mark, word in _pairs(self)}
        _check_cells(self, sum(map(len, rows)) + len(legend))
        _set(self, rows=_cut(rows), legend=legend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """How a text changed. Lines that are in both are told from those that are not."""

    kind: ClassVar[str] = "diff"

    before: str
    after: str
    title: str = ""

    def __post_init__(self) -> None:
        before, after = _text(self.before, "before"), _text(self.after, "after")
        _set(self, before=_short(before, MOST_CHARS // 2), after=_short(after, MOST_CHARS // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of values under names."""

    kind: ClassVar[str] = "table"

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    """As many values in each as there are columns; None is an empty cell."""
    title: str = ""

    def __post_init__(self) -> None:
        columns = tuple(_text(name, "a column") for name in _some(self.columns))
        rows = tuple(tuple(map(_value, _some(row))) for row in _some(self.rows))
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise EnvError(
                    f"row {number} of a Table has {len(row)} values, expected {len(columns)}, one "
                    "for each column"
                )
        _check_cells(self, len(columns) * (len(rows) + 1))
        names, *values = _cut((columns, *rows))
        _set(self, columns=names, rows=tuple(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What a program wrote to a terminal; colours by ANSI sequences are shown, others left out."""

    kind: ClassVar[str] = "terminal"

    text: str
    title: str = ""

    def __post_init__(self) -> None:
        _set(self, text=_short(_text(self.text, "text"), MOST_CHARS))


Panel = Grid | Diff | Table | Terminal

_KINDS: dict[str, type[Panel]] = {each.kind: each for each in (Grid, Diff, Table, Terminal)}


def checked_panels(given: Any, what: str) -> tuple[Panel, ...]:
    """Return what `Env.panels` gave.

    Raises:
        EnvError: something of it is no panel, or there are too many.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise EnvError(
            f"{what} returned {given!r:.80}, expected a tuple of panels",
            hint='return (ag.Grid(rows=("#..", "..K")),)',
        )
    for each in given:
        if not isinstance(each, Panel):
            raise EnvError(
                f"{what} gave the panel {each!r:.80}, expected Grid, Diff, Table or Terminal"
            )
    if len(given) > MOST_PANELS:
        raise EnvError(f"{what} gave {len(given)} panels, expected at most {MOST_PANELS}")
    return tuple(given)


def panel_to_json(panel: Panel) -> dict[str, Any]:
    """Return a panel as JSON values; rows of single characters as texts."""
    values = {each.name: getattr(panel, each.name) for each in fields(panel)}
    if isinstance(panel, Grid):
        values |= {"rows": [_written(row) for row in panel.rows], "legend": dict(panel.legend)}
    return {"kind": panel.kind, **values}


def panels_from_json(values: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    """Rebuild panels; kinds and fields that this version does not know are ignored.

    Raises:
        StoreError: one is not what it should be.
    """
    try:
        return _panels(values)
    except EnvError as error:
        raise StoreError(f"what was drawn cannot be read: {error}") from error


def _panels(values: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    known = [(_KINDS[each["kind"]], each) for each in values if each.get("kind") in _KINDS]
    return tuple(
        kind(**{name.name: each[name.name] for name in fields(kind) if name.name in each})
        for kind, each in known
    )


def _written(row: Sequence[str]) -> str | list[str]:
    return "".join(row) if all(len(mark) == 1 for mark in row) else list(row)


def _set(panel: Panel, **values: Any) -> None:
    """Put what was checked in the place of what was given; only while a panel is made."""
    values["title"] = _short(_text(panel.title, "title"), 200)
    for name, value in values.items():
        object.__setattr__(panel, name, value)


def _some(given: Any) -> Sequence[Any]:
    if isinstance(given, Sequence) and not isinstance(given, bytes):
        return given
    raise EnvError(f"a panel has {given!r:.80}, expected a tuple")


def _pairs(grid: Grid) -> list[tuple[Any, Any]]:
    if not isinstance(grid.legend, Mapping):
        raise EnvError(f"a Grid has legend={grid.legend!r:.80}, expected a dict of marks to words")
    return list(grid.legend.items())


def _check_cells(panel: Panel, count: int) -> None:
    if count > MOST_CELLS:
        raise EnvError(
            f"a {type(panel).__name__} has {count:,} cells, expected at most {MOST_CELLS:,}",
            hint="show a part of it",
        )


def _text(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise EnvError(f"a panel has {given!r:.80} as {what}, expected a text")
    return given


def _value(given: Any) -> Value:
    if given is None or isinstance(given, str | bool):
        return given
    is_exact = isinstance(given, int) and abs(given) <= _LARGEST
    if is_exact or (isinstance(given, float) and math.isfinite(given)):
        return given  # type: ignore[no-any-return]
    raise EnvError(
        f"a Table has the value {given!r:.80}, expected a text, a finite number, a bool or None",
        hint="write str(...)",
    )


def _cut(rows: Sequence[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    """Cut the texts in rows so that all together are short enough."""
    total = sum(len(each) for row in rows for each in row if isinstance(each, str))
    if total <= MOST_CHARS:
        return tuple(rows)
    most = MOST_CHARS // sum(map(len, rows))
    return tuple(
        tuple(_short(each, most) if isinstance(each, str) else each for each in row) for row in rows
    )


def _short(text: str, most: int) -> str:
    """Leave out the middle of a text that is too long, and say so where there is room."""
    if len(text) <= most:
        return text
    note = f"\n[{len(text) - most} characters left out]\n"
    if len(note) > most // 2:
        return text[:most]
    half = (most - len(note)) // 2
    return f"{text[:half]}{note}{text[-half:]}"
