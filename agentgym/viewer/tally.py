"""Which share of all that a run sampled carried gradient, and what became of the rest."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentgym.errors import StoreError, boundary
from agentgym.store.frames import read_record
from agentgym.store.notes import Note
from agentgym.table import Bools
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import equal_returns
from agentgym.viewer.entries import clean
from agentgym.viewer.index import Index

EQUAL_RETURNS = "equal_returns"
"""Of the tokens without an advantage those whose group's returns are all equal."""


MOST_AT_ONCE = 200
"""Optimiser steps that one answer counts; the next one goes on."""

_COLUMNS = ("cause", "rewards", "step_start", "token_start")


@dataclass(kw_only=True, eq=False)
class Tally:
    """Sampled tokens of a run by what became of them; it grows with the run."""

    by_step: dict[int, dict[str, int]] = field(default_factory=dict)
    """By optimiser step, from 0: `trained`, `equal_returns`, `zero_advantage` (other ones),
    `not_in_batch`, `clipped`, `dropped`."""

    def add(self, note: Note, groups: Mapping[str, str]) -> None:
        """Count an optimiser step; one that is there already is counted anew.

        Args:
            note: of the step, with its columns.
            groups: of its episodes, by their ids; one that is not there is a group of its own.

        Raises:
            StoreError: the note is broken.
        """
        names = [str(name) for name in note.payload["trajectories"]]
        found = [groups.get(name, name) for name in names]
        self.by_step[int(note.payload["step"])] = _count(note, found)

    def to_json(self, unused: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return {tokens, causes: {NAME: count}, steps: [...], by_step: {NAME: [count]}}.

        `unused` are tokens of episodes that no step used, by why not.
        """
        steps = sorted(self.by_step)
        causes: Counter[str] = Counter(unused or {})
        for counts in self.by_step.values():
            causes.update(counts)
        names = list(dict.fromkeys(name for step in steps for name in self.by_step[step]))
        return {
            "tokens": causes.total(),
            "causes": {name: count for name, count in causes.most_common() if count},
            "steps": [step + 1 for step in steps],
            "by_step": {name: [self.by_step[step][name] for step in steps] for name in names},
        }


class RunTally:
    """The tally of a run by its index, counted on with every look. Safe for several threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._forget(0)

    def _forget(self, origin: int) -> None:
        self._origin = origin
        self._tally = Tally()
        self._places: dict[int, tuple[str, int]] = {}
        self._waiting: dict[int, int] = {}  # step -> its episodes that were in the index, not all
        self._broken: dict[int, str] = {}

    def to_json(self) -> dict[str, Any]:
        """Count some more optimiser steps, and return the tally.

        `of_steps` tells how many there are; ask again while it has not got all of them. `broken`
        tells of notes that cannot be counted.
        """
        with self._lock:
            origin = self._index.origin
            if origin != self._origin:
                self._forget(origin)
            steps = self._index.query("SELECT step, shard, offset FROM step ORDER BY step")
            due = [each for each in steps if self._is_due(*each)]
            for each in due[:MOST_AT_ONCE]:
                self._count(*each)
            broken = list(self._broken.values())
            found = self._tally.to_json(count_unused(self._index))
        return {**found, "of_steps": len(steps), "broken": broken}

    def _is_due(self, step: int, shard: str, offset: int) -> bool:
        if self._places.get(step) != (shard, offset):
            return True
        return step in self._waiting and self._waiting[step] != len(self._groups(step))

    def _groups(self, step: int) -> dict[str, str]:
        """Return the groups of the episodes that a step used, of those that are in the index."""
        sql = "SELECT e.id, e.grp FROM used u JOIN episode e ON e.id = u.id WHERE u.step = ?"
        return dict(self._index.query(sql, (step,)))

    def _count(self, step: int, shard: str, offset: int) -> None:
        self._places[step] = (shard, offset)
        self._broken.pop(step, None)
        self._waiting.pop(step, None)
        groups = self._groups(step)
        try:
            with boundary(StoreError, f"reading the note of step {step}"):
                record = read_record(self._index.head_at(shard, offset), only=_COLUMNS)
                names = [clean(name) for name in record.body["payload"]["trajectories"]]
                payload = {"step": step - 1, "trajectories": names}
                note = Note(
                    producer="", kind="update", payload=payload, columns=dict(record.columns)
                )
                self._tally.add(note, groups)
                if len(groups) < len(names):
                    self._waiting[step] = len(groups)
        except StoreError as error:
            self._broken[step] = str(error)


def count_unused(index: Index) -> dict[str, int]:
    """Count the tokens of episodes that no optimiser step used: `fault`, `evaluation`, `fork`, `unused`.

    What a child shares with its parent was sampled once, and is counted with the parent.
    """
    kind = """CASE WHEN e."end" = 'error' THEN 'fault' WHEN e.grp LIKE 'eval-%' THEN 'evaluation'
              WHEN e.fork_step IS NOT NULL THEN 'fork' ELSE 'unused' END"""
    return dict(
        index.query(
            f"SELECT {kind}, CAST(total(max(e.tokens - e.shared, 0)) AS INTEGER) FROM episode e LEFT JOIN used u ON u.id = e.id"
            " WHERE u.id IS NULL GROUP BY 1"
        )
    )


def _count(note: Note, groups: list[str]) -> dict[str, int]:
    cause = note.columns["cause"]
    counts = {each.name.lower(): int((cause == each).sum()) for each in Cause}
    idle = cause == Cause.ZERO_ADVANTAGE
    equal = int((idle & _of_equal_groups(note, groups)).sum())
    counts["zero_advantage"] -= equal
    return {**counts, EQUAL_RETURNS: equal}


def _of_equal_groups(note: Note, groups: list[str]) -> Bools:
    """Return which tokens are of groups whose returns are all equal, [N]."""
    columns = note.columns
    step_start, token_start, rewards = (
        columns[name] for name in ("step_start", "token_start", "rewards")
    )
    if len(step_start) != len(groups) + 1 or len(rewards) != step_start[-1]:
        raise StoreError(
            f"the note of optimiser step {int(note.payload['step']) + 1} does not fit together",
            hint="agentgym check run tells what is wrong with it",
        )
    owner = np.repeat(np.arange(len(groups)), np.diff(step_start))
    returns = np.bincount(owner, weights=rewards, minlength=len(groups)).astype(float)
    _, numbers = np.unique(groups, return_inverse=True)
    is_equal = equal_returns(returns, numbers)[numbers]
    return np.repeat(is_equal, np.diff(token_start[step_start]))
