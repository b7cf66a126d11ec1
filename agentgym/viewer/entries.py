"""Records of a run as rows of its index: episodes from their heads, notes from what they say."""

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from agentgym.errors import StoreError, boundary
from agentgym.store import episodes, notes
from agentgym.store.episodes import IMPORTER
from agentgym.store.frames import Head, header_stop, read_heads, read_record

_TEXTS = ("id", "group_id", "task_id", "env", "split", "end", "reason")
_NUMBERS = ("member", "attempt", "turns", "tokens", "version_min", "version_max")
_EPISODE = (
    "INSERT OR REPLACE INTO episode (id, grp, task, env, split, end, reason, member, attempt, turns,"
    " tokens, version_min, version_max, outcome, parent, fork_step, shared, shard, offset)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UNTAG = "UPDATE episode SET tagged = NULL WHERE {} = ? AND tagged IS NOT NULL"
_REASON = 500  # characters of a reason that a list shows; the episode has all of it
_LARGEST = 2**63 - 1
_TRAINER = "trainer"  # who writes the notes of optimiser steps

Change = tuple[str, list[tuple[Any, ...]]]
"""(statement, its rows)"""


class Taken(NamedTuple):
    """How far a shard was read."""

    records: int
    stop: int
    is_more: bool


def take(db: sqlite3.Connection, name: str, path: Path, *, start: int, limit: int) -> Taken:
    """Put up to `limit` records of a shard into the tables, from a record's beginning on.

    What cannot be read is told in the table `broken`; the other shards do not suffer.
    """
    is_episodes = name.startswith(episodes.FOLDER + "/")
    schema = episodes.SCHEMA if is_episodes else notes.SCHEMA
    db.execute("DELETE FROM broken WHERE shard = ? AND at = -1", (name,))
    try:
        heads = list(islice(read_heads(path, schema=schema, start=start), limit))
        stop = heads[-1].stop if heads else start or header_stop(path, schema=schema)
    except StoreError as error:
        _tell(db, name, -1, str(error))
        return Taken(0, start, False)
    (_take_episodes if is_episodes else _take_notes)(db, name, heads)
    is_more = len(heads) == limit
    if not is_more and (rest := path.stat().st_size - stop):
        _tell(db, name, -1, f"{path}: {rest} bytes after the last whole record")
    return Taken(len(heads), stop, is_more)


def clean(text: str) -> str:
    """Return a text as SQLite can hold it: lone surrogates become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_scored(head: Head) -> bool:
    """Return whether an episode has an outcome; of an environment of ours one without terms has 0.

    Files of other programs may tell none.
    """
    return head.header.get("writer") != IMPORTER or head.fields.get("unrewarded") is not True


def _tell(db: sqlite3.Connection, name: str, at: int, told: str) -> None:
    db.execute("INSERT OR REPLACE INTO broken VALUES (?, ?, ?)", (name, at, clean(told)))


def _take_episodes(db: sqlite3.Connection, name: str, heads: Iterable[Head]) -> None:
    rows = []
    for head in heads:
        try:
            rows.append((*_episode(head), name, head.offset))
        except (KeyError, TypeError, ValueError) as error:
            _tell(db, name, head.offset, f"{head.shard}: the head at byte {head.offset}: {error!r}")
    db.executemany(_EPISODE, rows)
    groups = dict.fromkeys(row[1] for row in rows)
    names = [(each,) for each in groups]
    db.executemany("INSERT OR IGNORE INTO team (grp) VALUES (?)", names)
    db.executemany(_UNTAG.format("grp"), names)  # some tags compare an episode with its group


def _episode(head: Head) -> tuple[Any, ...]:
    fields = head.fields
    texts = [_text(fields[name]) for name in _TEXTS]
    texts[-1] = texts[-1][:_REASON]
    numbers = [_whole(fields[name]) for name in _NUMBERS]
    parent, step = fields.get("parent_id"), fields.get("fork_step")
    shared = _whole(fields.get("shared")) or 0
    forked = None if parent is None else _text(parent), _whole(step), shared
    outcome = _finite(fields["outcome"]) if is_scored(head) else None
    return (*texts, *numbers, outcome, *forked)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value if value.isascii() else clean(value)


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{value!r} is no number of this kind")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no outcome")
    return number


def _take_notes(db: sqlite3.Connection, name: str, heads: Iterable[Head]) -> None:
    for head in heads:
        kind = head.fields.get("kind")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            continue
        try:
            with boundary(StoreError, f"{head.shard}: reading the note at byte {head.offset}"):
                changes = list(reader(name, head))
        except StoreError as error:
            _tell(db, name, head.offset, str(error))
            continue
        for sql, rows in changes:
            db.executemany(sql, rows)


def _read_update(name: str, head: Head) -> Iterator[Change]:
    """Note which episodes an optimiser step used; of one that was repeated the later note counts."""
    if head.header.get("writer") != _TRAINER:
        return
    record = read_record(head, only=("step_start", "rewards"))
    payload = record.body["payload"]
    step, version = _whole(payload["step"] + 1), _whole(payload["version"])
    sums = _sums(record.columns["rewards"], record.columns["step_start"].tolist())
    used = [
        (_text(episode), step, place, reward)
        for place, (episode, reward) in enumerate(zip(payload["trajectories"], sums, strict=True))
    ]
    yield "DELETE FROM used WHERE step = ?", [(step,)]
    yield "INSERT OR REPLACE INTO used VALUES (?, ?, ?, ?)", used
    yield _UNTAG.format("id"), [(episode,) for episode, *_ in used]
    yield "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?)", [(step, version, name, head.offset)]


def _read_credit(name: str, head: Head) -> Iterator[Change]:
    payload = read_record(head, only=()).body["payload"]
    values = _whole(payload["step"] + 1), _text(payload["label"]), name, head.offset
    yield "INSERT OR REPLACE INTO credit VALUES (?, ?, ?, ?)", [values]


def _read_label(name: str, head: Head) -> Iterator[Change]:
    payload = read_record(head, only=()).body["payload"]
    values = tuple(_text(payload.get(key) or "") for key in ("episode", "label", "text"))
    time = payload.get("time")
    at = float(time) if isinstance(time, int | float) and math.isfinite(time) else 0.0
    yield "INSERT INTO label (id, label, text, time) VALUES (?, ?, ?, ?)", [(*values, at)]


def _sums(rewards: NDArray[Any], starts: Sequence[int]) -> list[float | None]:
    """Return the reward of each episode; None: it is not finite."""
    sums = [float(rewards[first:stop].sum()) for first, stop in pairwise(starts)]
    return [value if math.isfinite(value) else None for value in sums]


_READERS: dict[str, Callable[[str, Head], Iterator[Change]]] = {
    "update": _read_update,
    "credit": _read_credit,
    "label": _read_label,
}
