"""Optimiser steps read back from a run: what stood in the table, and what was made of it.

The record keeps all that rewards and advantages were computed from, bit for bit, so that the
methods of the training give the same numbers again and other methods can be tried on them.
"""

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.errors import ConfigError, StoreError, boundary
from agentgym.rollout.collect import to_groups
from agentgym.store.columns import Columns
from agentgym.store.episodes import EpisodeHead, read_episode, read_heads
from agentgym.store.frames import OnBroken, skipping
from agentgym.store.notes import Note, read_note, read_notes
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.shaping.base import Shaped, ShaperConfig, shape
from agentgym.types import Trajectory

UPDATE = "update"
"""The kind of the note that each optimiser step leaves."""

TRAINER = "trainer"
"""Who writes it."""

SCHEMA = 2
"""How it is written. In 1, which a note without a schema is, a token has the cause
`ZERO_ADVANTAGE` where the advantages of its whole row are 0; in 2 where its own is, unless the
loss reaches it all the same."""

_COLUMNS = {"step_start", "token_start", "rewards", "advantages", "logprobs", "weights", "cause"}

ANNOTATIONS = tuple(each.name for each in fields(StepTable) if each.default is None)
"""The optional columns of the table."""

FILLED = ("entropy", "duration")
"""Those that training fills in; `duration` is of the episodes, and comes back with them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Update:
    """One optimiser step, as the record has it."""

    step: int
    """As the record counts, from 0."""
    schema: int
    """As `SCHEMA` says."""
    version: int
    """Of the policy that sampled."""
    schedules: Mapping[str, float]
    """Where every schedule stood."""
    trajectories: tuple[Trajectory, ...]
    """Those that it used, in order."""
    table: StepTable
    """Built from them anew, with the annotations of the record."""
    columns: Columns
    """As `Recorder.update` describes them."""

    @property
    def number(self) -> int:
        """The optimiser step as people count, from 1: as the training told, and its metrics."""
        return self.step + 1

    @property
    def rewards(self) -> Floats:
        """[S], those trained on."""
        return self.columns["rewards"]

    @property
    def advantages(self) -> Floats:
        """[S] or [N], those trained on."""
        return self.columns["advantages"]

    def shape(self, shaper: ShaperConfig) -> Shaped:
        """Return what a shaper makes of the table, its schedules standing where they stood."""
        return shape_at(self.schedules, shaper, self.table)


def shape_at(schedules: Mapping[str, float], shaper: ShaperConfig, table: StepTable) -> Shaped:
    """Return what a shaper makes of a table where every schedule stands as given."""
    asked = inspect.signature(type(shaper).__call__).parameters
    now: dict[str, Any] = {name: at for name, at in schedules.items() if name in asked}
    return shape(shaper, table, **now)


def annotations(table: StepTable) -> dict[str, Floats]:
    """Return the optional columns that a table has, and that its episodes do not tell."""
    found = {name: getattr(table, name) for name in ANNOTATIONS if name != "duration"}
    return {name: values for name, values in found.items() if values is not None}


def read_updates(run_dir: str | Path, *, last: int | None = None) -> Iterator[Update]:
    """Yield the optimiser steps of a run, or the last ones of them, one at a time.

    Of a step that was repeated after a crash the later note counts.

    Raises:
        StoreError: an episode that a step used is not in the record, or is broken.
    """
    notes = latest_notes(run_dir)
    heads = {head.id: head for head in read_heads(run_dir)}
    for step in sorted(notes)[-last if last else None :]:
        yield read_update(run_dir, notes[step], heads)


def latest_notes(run_dir: str | Path, *, on_broken: OnBroken | None = None) -> dict[int, Note]:
    """Return the note of each optimiser step, by its number from 0, without its columns.

    Those of a long training would fill the memory; `read_update` reads them when it is their turn.
    What cannot be read is told to `on_broken` and left out; None: it is an error.

    Raises:
        StoreError: there is no such directory, or a note of the trainer cannot be read.
    """
    found: dict[int, Note] = {}
    for note in read_notes(run_dir, UPDATE, producer=TRAINER, on_broken=on_broken):
        with skipping(on_broken), boundary(StoreError, f"reading a note of {run_dir}"):
            found[int(note.payload["step"])] = replace(note, columns={})
    return found


def count_missing(found: Collection[int], done: int) -> tuple[int, Iterator[int]]:
    """Return how many optimiser steps have no note, and their numbers from 1.

    `found` are those that have one, counted from 0; `done` is what `run.json` says.

    >>> count, numbers = count_missing({0, 2}, 4)
    >>> count, list(numbers)
    (2, [2, 4])
    """
    last = max(done, max(found, default=-1) + 1)
    missing = (step + 1 for step in range(last) if step not in found)
    return last - sum(step >= 0 for step in found), missing


def read_update(
    run_dir: str | Path,
    note: Note,
    heads: Mapping[str, EpisodeHead],
    *,
    read: Callable[[EpisodeHead], Trajectory] = read_episode,
) -> Update:
    """Build the table of a step again; `read` opens an episode.

    Raises:
        StoreError: an episode that it used is not in the record, or is broken, or other steps
            belong to it now; or the note is broken.
    """
    step = int(note.payload["step"])
    note = read_note(note.frame) if note.frame else note
    if missing := sorted(_COLUMNS - set(note.columns)):
        raise StoreError(f"the note of step {step + 1} of {run_dir} has no column {missing[0]!r}")
    with boundary(StoreError, f"reading the note of step {step + 1} of {run_dir}"):
        found = _found(run_dir, step + 1, note.payload["trajectories"], heads)
        trajectories = tuple(map(read, found))
        table = build_table(to_groups(trajectories))
        _check_starts(run_dir, step + 1, note, table)
        return Update(
            step=step,
            schema=int(note.payload.get("schema", 1)),
            version=int(note.payload["version"]),
            schedules=dict(note.payload["schedules"]),
            trajectories=trajectories,
            table=replace(table, **_annotations(note.columns, table)),
            columns=note.columns,
        )


def unsound(update: Update) -> dict[str, str]:
    """Return what is wrong with the rewards and advantages of a step, by their names."""
    table, found = update.table, {}
    steps, tokens = table.num_steps, int(table.token_start[-1])
    for name, allowed in (("rewards", (steps,)), ("advantages", (steps, tokens))):
        values = update.columns[name]
        if values.dtype != np.float64:
            found[name] = f"the {name} are {values.dtype}, not float64"
        elif len(values) not in allowed:
            found[name] = f"{len(values)} {name} for {steps} steps of {tokens} tokens"
        elif bad := int((~np.isfinite(values)).sum()):
            found[name] = f"{bad} {name} are not finite"
    return found


def check_sound(update: Update, *, where: str) -> None:
    """Refuse a step whose rewards or advantages are no numbers, or too few.

    Raises:
        StoreError: they are.
    """
    for wrong in unsound(update).values():
        raise StoreError(
            f"optimiser step {update.number} of {where}: {wrong}",
            hint=f"agentgym check run {where} tells what else is wrong with it",
        )


def check_columns(credit: CreditConfig, table: StepTable, *, where: str) -> None:
    """Refuse an estimator that needs a column which a table does not have.

    Raises:
        ConfigError: it is named, with what would have brought it into the record, if anything.
    """
    missing = credit.missing_columns(table)
    if missing:
        raise ConfigError(
            f"{name_of(credit)} needs the column {missing[0]!r}, which is not in the record of {where}",
            hint=f"{_origin(missing[0], credit)}, or leave {name_of(credit)} out here",
        )


def _origin(column: str, credit: CreditConfig) -> str:
    """Tell where a column would come from."""
    if column == "duration":
        return "each step must have its seconds, which episodes made by hand lack"
    if column in FILLED:
        return (
            "a training records the columns that its own estimator needs; "
            f"train with credit.name={name_of(credit)}"
        )
    return f"nothing fills it in yet; give {name_of(credit)} a table that has it"


def name_of(method: CreditConfig | ShaperConfig) -> str:
    """Return the name that a method has in configurations."""
    return str(type(method).model_fields["name"].default)


def label_of(method: CreditConfig | ShaperConfig) -> str:
    """Return the name of a method, and what is set otherwise than by default."""
    others = method.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    return ",".join([name_of(method), *(f"{key}={json.dumps(v)}" for key, v in others.items())])


def same_bits(a: Floats, b: Floats) -> bool:
    """Return whether two columns of float64 are equal to the last bit.

    >>> same_bits(np.array([0.1 + 0.2]), np.array([0.3]))
    False
    """
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def _check_starts(run_dir: str | Path, number: int, note: Note, table: StepTable) -> None:
    for name in ("step_start", "token_start"):
        if not np.array_equal(note.columns[name], getattr(table, name)):
            raise StoreError(
                f"the episodes of step {number} of {run_dir} are not those it was trained on: "
                f"{name} differs from what was noted",
                hint=f"agentgym check run {run_dir} tells what else is wrong with it",
            )


def _found(
    run_dir: str | Path, number: int, names: Iterable[str], heads: Mapping[str, EpisodeHead]
) -> Iterator[EpisodeHead]:
    for name in names:
        if name not in heads:
            raise StoreError(
                f"step {number} used the episode {name}, which is not in the record of {run_dir}",
                hint="a file of episodes/ is lost or cut off; the steps before may be whole "
                f"(agentgym check run {run_dir})",
            )
        yield heads[name]


def _annotations(columns: Columns, table: StepTable) -> dict[str, Any]:
    found = {name: values for name, values in columns.items() if name in ANNOTATIONS}
    sizes = {"token_value": int(table.token_start[-1]), "pool_mean": table.num_trajectories}
    for name, values in found.items():
        expected = sizes.get(name, table.num_steps)
        if len(values) != expected:
            raise StoreError(f"the column {name!r} has {len(values)} values, expected {expected}")
    return found
