"""The filter language: each term beside a slow reading of it, and errors that point at the place."""

import sqlite3

import pytest
from hypothesis import given, strategies as st

from agentgym.viewer.filter import KEYS, MOST_TERMS, FilterError, parse_where
from agentgym.viewer.listing import grid, list_episodes

NUMBERS = [name for name, key in KEYS.items() if key.is_number]
TEXTS = [name for name, key in KEYS.items() if not key.is_number and name not in ("tag", "end")]
COLUMNS = {name: key.column for name, key in KEYS.items() if name != "tag"}
WORDS = st.text(st.sampled_from('aAbÉ é"\\%_.\n\0'), max_size=4)
COMPARED = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def holds(row: dict, name: str, op: str, value) -> bool:
    """What a term means, said plainly."""
    mine = row[name]
    if op == "=":
        return mine == value
    if op == "!=":
        return mine != value
    if mine is None:
        return False
    return lower(value) in lower(mine) if op == "~" else COMPARED[op](mine, value)


@st.composite
def terms(draw: st.DrawFn) -> tuple[str, str, str, object]:
    if draw(st.booleans()):
        name, op = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(["=", "!=", *COMPARED]))
        value = draw(st.none() | st.integers(-3, 3) | st.sampled_from([0.5, -1.25]))
        if value is None:
            return name, draw(st.sampled_from(["=", "!="])), "none", None
        return name, op, str(value), value
    name, op = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(["=", "!=", "~"]))
    value = draw(WORDS)
    return name, op, quoted(value), value


@st.composite
def tables(draw: st.DrawFn) -> list[dict]:
    numbers = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, -1.25])
    row = {name: numbers if name in NUMBERS else st.none() | WORDS for name in COLUMNS}
    return draw(st.lists(st.fixed_dictionaries(row), max_size=6))


@given(st.lists(terms(), max_size=3), tables())
def test_a_filter_lets_through_what_its_terms_mean(asked, table) -> None:
    where = parse_where("  ".join(f"{name}{op}{text}" for name, op, text, _ in asked))
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE seen ({', '.join(['row', *COLUMNS.values()])})")
    marks = ", ".join("?" * (1 + len(COLUMNS)))
    for number, row in enumerate(table):
        db.execute(f"INSERT INTO seen VALUES ({marks})", (number, *(row[n] for n in COLUMNS)))
    found = db.execute(f"SELECT row FROM seen WHERE {where.sql} ORDER BY row", where.values)
    expected = [
        number
        for number, row in enumerate(table)
        if all(holds(row, name, op, value) for name, op, _, value in asked)
    ]
    assert [number for (number,) in found] == expected
    db.close()


@given(st.text())
def test_any_text_is_a_filter_or_a_place_in_it(text) -> None:
    told: FilterError | None = None
    try:
        where = parse_where(text)
    except FilterError as error:
        told = error
    else:
        assert where.sql.count("?") == len(where.values)
    assert told is None or 0 <= told.at <= len(text)
    assert told is None or f"at character {told.at + 1}" in str(told)


@pytest.mark.parametrize(
    ("text", "at", "words", "hint"),
    [
        ("rewrd>1", 0, "unknown key 'rewrd'", "did you mean 'reward'?"),
        ("end=error rewrd>1", 10, "unknown key 'rewrd'", "reward"),
        ("turns>many", 6, "expected a number, got 'many'", None),
        ("turns>nan", 6, "expected a number", None),
        ("turns>1_0", 6, "expected a number", None),
        ("turns~3", 5, "~ is for text", "numbers have"),
        ("task<x", 4, "< is for numbers", "text has = != ~"),
        ("end=finished", 4, "no episode ends 'finished'", "terminated, truncated, error"),
        ('task="x', 5, "a quote that is not closed", "in quotes"),
        ('task=a"b', 6, "expected a space", "in quotes"),
        ('task="a"b', 8, "expected a space", "in quotes"),
        ("turns>", 6, "turns has no value", "outcome>0"),
        ("  hello there", 2, "expected key, operator and value, got 'hello'", "keys: id"),
        ("'; DROP TABLE", 0, "expected key", "keys: id"),
        ("label>none", 5, "none has no >", "=none"),
        ("task:x", 4, "`:` belongs to text", "task="),
        ("text=x", 0, "unknown key 'text'", "did you mean 'text'"),
        ("x" * 4001, 4000, "at most 4000", None),
    ],
)
def test_a_wrong_filter_is_told_where_it_is_wrong(text, at, words, hint) -> None:
    with pytest.raises(FilterError) as caught:
        parse_where(text)
    assert words in str(caught.value)
    assert caught.value.at == at
    assert hint is None or hint in caught.value.hint


def test_an_empty_filter_lets_everything_through() -> None:
    assert parse_where(" \n").sql == "1"
    assert parse_where('text:"a \\"b\\""').wants_text
    assert not parse_where("task~text").wants_text


def test_a_filter_says_what_it_needs() -> None:
    assert parse_where("tag=none").wants_tags
    assert parse_where('turns>1 tag~edit text:"x"').wants_tags
    assert not parse_where("turns>1 label=tag").wants_tags


@pytest.mark.parametrize(
    "term", ["id=a", "task~a", "tag=a", "tag!=none", "text:a", "step>0", "label!=x"]
)
def test_as_many_terms_as_are_allowed_can_be_asked(trained, open_runs, term) -> None:
    (run,) = open_runs(trained)
    run.text.want()
    where = parse_where(" ".join([term] * MOST_TERMS))
    list_episodes(run.index, where, sort="-label", offset=0, limit=5)
    grid(run.index, where, first=0, last=5)
    with pytest.raises(FilterError, match="terms") as caught:
        parse_where(" ".join([term] * (MOST_TERMS + 1)))
    assert caught.value.at == MOST_TERMS * (len(term) + 1)
