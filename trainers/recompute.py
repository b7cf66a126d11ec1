"""Optimiser steps read back from a run: what stood in the table, and what was made of it.

The record keeps all that rewards and advantages were computed from, bit for bit, so that the
methods of the training give the same numbers again and other methods can be tried on them.
"""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.errors import ConfigError, StoreError
from agentgym.rollout.collect import to_groups
from agentgym.store.columns import Columns
from agentgym.store.episodes import EpisodeHead, read_episode, read_heads
from agentgym.store.notes import Note, read_notes
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.shaping.base import Shaped, ShaperConfig
from agentgym.types import Trajectory

UPDATE = "update"
"""The kind of the note that each optimiser step leaves."""

_COLUMNS = {"step_start", "token_start", "rewards", "advantages", "logprobs", "weights", "cause"}

ANNOTATIONS = tuple(each.name for each in fields(StepTable) if each.default is None)
"""The optional columns of the table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Update:
    """One optimiser step, as the record has it."""

    step: int
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
    def rewards(self) -> Floats:
        """[S], those trained on."""
        return self.columns["rewards"]

    @property
    def advantages(self) -> Floats:
        """[S] or [N], those trained on."""
        return self.columns["advantages"]

    def shape(self, shaper: ShaperConfig) -> Shaped:
        """Return what a shaper makes of the table, its schedules standing where they stood."""
        return shaper(self.table, **_taken(shaper, self.schedules))


def annotations(table: StepTable) -> dict[str, Floats]:
    """Return the optional columns that a table has."""
    found = {name: getattr(table, name) for name in ANNOTATIONS}
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


def latest_notes(run_dir: str | Path) -> dict[int, Note]:
    """Return the note of each optimiser step."""
    return {int(note.payload["step"]): note for note in read_notes(run_dir, UPDATE)}


def read_update(run_dir: str | Path, note: Note, heads: Mapping[str, EpisodeHead]) -> Update:
    """Build the table of a step again.

    Raises:
        StoreError: an episode that it used is not in the record, or is broken, or other steps
            belong to it now.
    """
    step = int(note.payload["step"])
    if missing := sorted(_COLUMNS - set(note.columns)):
        raise StoreError(f"the note of step {step} of {run_dir} has no column {missing[0]!r}")
    trajectories = tuple(_episodes(run_dir, step, note.payload["trajectories"], heads))
    table = build_table(to_groups(trajectories))
    for name, built in (("step_start", table.step_start), ("token_start", table.token_start)):
        if not np.array_equal(note.columns[name], built):
            raise StoreError(
                f"the episodes of step {step} of {run_dir} are not those it was trained on: "
                f"{name} differs from what was noted",
                hint=f"agentgym check run {run_dir} tells what else is wrong with it",
            )
    return Update(
        step=step,
        version=int(note.payload["version"]),
        schedules=note.payload["schedules"],
        trajectories=trajectories,
        table=replace(table, **_annotations(note.columns)),
        columns=note.columns,
    )


def check_finite(update: Update, *, where: str) -> None:
    """Refuse a step whose rewards or advantages are no numbers.

    Raises:
        StoreError: they are not finite.
    """
    for name in ("rewards", "advantages"):
        if not np.isfinite(update.columns[name]).all():
            raise StoreError(
                f"the {name} of step {update.step} of {where} are not all finite",
                hint=f"agentgym check run {where} tells what else is wrong with it",
            )


def check_columns(credit: CreditConfig, table: StepTable, *, where: str) -> None:
    """Refuse an estimator that needs a column which a table does not have.

    Raises:
        ConfigError: it is named, with what would have brought it into the record.
    """
    missing = [name for name in credit.columns if getattr(table, name) is None]
    if missing:
        raise ConfigError(
            f"{name_of(credit)} needs the column {missing[0]!r}, which is not in the record of {where}",
            hint="a training records the columns that its own estimator needs; "
            f"train with credit.name={name_of(credit)}, or leave it out here",
        )


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


def _episodes(
    run_dir: str | Path, step: int, names: Iterable[str], heads: Mapping[str, EpisodeHead]
) -> Iterator[Trajectory]:
    for name in names:
        if name not in heads:
            raise StoreError(
                f"step {step} used the episode {name}, which is not in the record of {run_dir}",
                hint="a file of episodes/ is lost or cut off; the steps before may be whole "
                f"(agentgym check run {run_dir})",
            )
        yield read_episode(heads[name])


def _annotations(columns: Columns) -> dict[str, Any]:
    return {name: values for name, values in columns.items() if name in ANNOTATIONS}


def _taken(shaper: ShaperConfig, schedules: Mapping[str, float]) -> dict[str, Any]:
    """Return the schedules that a shaper asks for."""
    asked = inspect.signature(type(shaper).__call__).parameters
    return {name: value for name, value in schedules.items() if name in asked}
