"""What the trainer noted of one episode: its part of the columns of the last step that used it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import StoreError, boundary
from agentgym.store.frames import Record, read_record
from agentgym.viewer.entries import clean
from agentgym.viewer.index import Index

Values = NDArray[Any]

_STARTS = ("step_start", "token_start")
_OF_TOKENS = ("logprobs", "weights", "cause", "staleness", "token_value")
"""Advantages may be of either."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Noted:
    """The columns of a note, cut to one episode of T steps and N sampled tokens."""

    step: int
    """Of the training, from 1."""
    version: int | None
    """Of the policy that was trained."""
    columns: Mapping[str, Values]
    """[T] each, or [N] those in `of_tokens`; `gate/TERM` has one value, of the whole episode."""
    of_tokens: frozenset[str]
    token_start: Values
    """[T + 1], from 0: step t sampled the tokens token_start[t] to token_start[t + 1]."""

    def per_step(self, name: str) -> Values | None:
        """Return a column as [T], where tokens have their own as their means; None: none there."""
        values = self.columns.get(name)
        if values is None or name not in self.of_tokens:
            return values
        counts = np.diff(self.token_start)
        owners = np.repeat(np.arange(self.num_steps), counts)
        sums = np.bincount(owners, weights=values, minlength=self.num_steps)
        return np.asarray(sums / np.maximum(counts, 1))

    def per_token(self, name: str) -> Values | None:
        """Return a column as [N], values of steps at each of their tokens; None: none there."""
        values = self.columns.get(name)
        if values is None or name in self.of_tokens:
            return values
        return np.repeat(values, np.diff(self.token_start))

    def parts(self, kind: str) -> dict[str, Values]:
        """Return the columns named `kind/TERM`, by their terms."""
        prefix = f"{kind}/"
        return {
            name.removeprefix(prefix): values
            for name, values in self.columns.items()
            if name.startswith(prefix)
        }

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.token_start) - 1


def read_noted(index: Index, name: str, only: Collection[str] | None = None) -> Noted | None:
    """Return what was noted of an episode, `only` some columns or all; None: it was not used.

    Raises:
        StoreError: the note is broken.
    """
    found = index.query(
        "SELECT s.step, s.version, s.shard, s.offset, u.place FROM used u JOIN step s"
        " ON s.step = u.step WHERE u.id = ?",
        (clean(name),),
    )
    if not found:
        return None
    step, version, shard, offset, place = found[0]
    wanted = None if only is None else {*only, *_STARTS}
    record = read_record(index.head_at(shard, offset), only=wanted)
    with boundary(StoreError, f"reading the note of step {step}"):
        return _cut(record, place, step=step, version=version)


def read_credit(index: Index, name: str, label: str) -> Noted | None:
    """Return what another estimator gave an episode; None: no note has this label.

    Raises:
        StoreError: the note is broken.
    """
    found = index.query(
        "SELECT c.step, c.shard, c.offset FROM used u JOIN credit c ON c.step = u.step"
        " WHERE u.id = ? AND c.label = ?",
        (clean(name), clean(label)),
    )
    if not found:
        return None
    step, shard, offset = found[0]
    record = read_record(index.head_at(shard, offset), only=("advantages", *_STARTS))
    with boundary(StoreError, f"reading the note of {label} of step {step}"):
        place = [clean(each) for each in record.body["payload"]["trajectories"]].index(clean(name))
        return _cut(record, place, step=step, version=None)


def read_noted_advantages(
    index: Index, step: int, label: str, names: Sequence[str]
) -> Values | None:
    """Return what another estimator gave the episodes `names`, one after the other; None: no note has this.

    Raises:
        StoreError: the note is broken, or lacks one of them.
    """
    sql = "SELECT shard, offset FROM credit WHERE step = ? AND label = ?"
    found = index.query(sql, (step, clean(label)))
    if not found:
        return None
    record = read_record(index.head_at(*found[0]), only=("advantages", *_STARTS))
    with boundary(StoreError, f"reading the note of {label} of step {step}"):
        places = {clean(each): at for at, each in enumerate(record.body["payload"]["trajectories"])}
        cuts = [_cut(record, places[clean(name)], step=step, version=None) for name in names]
        return np.concatenate([each.columns["advantages"] for each in cuts])


def credit_labels(index: Index, name: str) -> list[str]:
    """Return the estimators that notes have of the step that used an episode."""
    found = index.query(
        "SELECT c.label FROM used u JOIN credit c ON c.step = u.step WHERE u.id = ? ORDER BY 1",
        (clean(name),),
    )
    return [label for (label,) in found]


def _cut(record: Record, place: int, *, step: int, version: int | None) -> Noted:
    steps, tokens = (record.columns[name] for name in _STARTS)
    rows = slice(int(steps[place]), int(steps[place + 1]))
    token_start = tokens[rows.start : rows.stop + 1]
    parts = {
        "step": (rows, len(tokens) - 1),
        "token": (slice(int(token_start[0]), int(token_start[-1])), int(tokens[-1])),
        "episode": (slice(place, place + 1), len(steps) - 1),
    }
    columns, of_tokens = {}, set()
    for name, values in record.columns.items():
        if name in _STARTS:
            continue
        unit = _unit(name, len(values), num_steps=len(tokens) - 1)
        part, length = parts[unit]
        if len(values) != length:
            raise ValueError(f"the column {name!r} has {len(values)} values, expected {length}")
        columns[name] = values[part]
        of_tokens |= {name} if unit == "token" else set()
    return Noted(
        step=step,
        version=version,
        columns=columns,
        of_tokens=frozenset(of_tokens),
        token_start=token_start - token_start[0],
    )


def _unit(name: str, length: int, *, num_steps: int) -> str:
    if name.startswith("gate/") or name == "pool_mean":
        return "episode"
    is_of_steps = name not in _OF_TOKENS and length == num_steps
    return "step" if is_of_steps else "token"
