"""What the checks of a run look at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from agentgym.check.report import NotChecked
from agentgym.check.run.readers import Readers
from agentgym.check.run.shards import damaged
from agentgym.config.methods import Methods, Training, recorded_methods, recorded_training
from agentgym.errors import ConfigError, StoreError
from agentgym.metrics import read_metrics
from agentgym.store import episodes, notes
from agentgym.store.episodes import EpisodeHead, read_episode, read_heads
from agentgym.store.notes import Note
from agentgym.store.run import Run
from agentgym.table import Bools, Floats, Ints
from agentgym.trainers.recompute import (
    Update,
    count_missing,
    latest_notes,
    read_update,
    unsound,
)
from agentgym.trainers.shaping.base import Shaped
from agentgym.types import Trajectory


class RunSubject:
    """A run, opened once for all checks."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.unread: list[str] = []
        """Why optimiser steps cannot be read whose episodes can."""

    @cached_property
    def damage(self) -> dict[str, str]:
        """What of the record cannot be read, and the folder that it is in."""
        return damaged(self.run.root)

    @cached_property
    def all_heads(self) -> list[EpisodeHead]:
        """Every episode whose head can be read, in the order of writing."""
        _ = self.notes  # first: what they name is recorded before them, also while a run trains
        return list(read_heads(self.run.root, on_broken=lambda error: self._note(error, episodes)))

    @cached_property
    def heads(self) -> dict[str, EpisodeHead]:
        """They by their ids; of several with one id the last."""
        return {head.id: head for head in self.all_heads}

    @cached_property
    def notes(self) -> dict[int, Note]:
        """The note of each optimiser step, by its number from 0."""
        return latest_notes(self.run.root, on_broken=lambda error: self._note(error, notes))

    @property
    def missing(self) -> tuple[int, Iterator[int]]:
        """How many optimiser steps have no note, and their numbers from 1."""
        return count_missing(self.notes, self.run.step)

    @property
    def num_steps(self) -> int:
        """How many optimiser steps it took."""
        return len(self.notes) + self.missing[0]

    @cached_property
    def methods(self) -> Methods:
        """How it shaped and gave credit.

        Raises:
            NotChecked: that is not known here.
        """
        try:
            return recorded_methods(self.run.config_path)
        except ConfigError as error:
            raise NotChecked(str(error), hint=error.hint) from None

    @cached_property
    def training(self) -> Training:
        """How it turned advantages into weights.

        Raises:
            NotChecked: that is not known here.
        """
        try:
            return recorded_training(self.run.config_path)
        except ConfigError as error:
            raise NotChecked(str(error), hint=error.hint) from None

    @property
    def max_staleness(self) -> int:
        """By how many steps a policy may be older than the one that is trained on its tokens.

        Raises:
            NotChecked: that is not known here.
        """
        return self.training.train.max_staleness

    @cached_property
    def scalars(self) -> dict[int, dict[str, float]]:
        """What was logged, by the number of the optimiser step."""
        path = self.run.metrics_path
        return read_metrics(path) if path.is_file() else {}

    @cached_property
    def readers(self) -> Readers:
        """What its tokens and messages can be compared by."""
        return Readers(self.run.root)

    def episodes(self) -> Iterator[Trajectory]:
        """Yield every episode that can be read, in the order of writing."""
        for head in self.all_heads:
            try:
                yield read_episode(head)
            except StoreError as error:
                self._note(error, episodes)

    def updates(self) -> Iterator["UpdateSubject"]:
        """Yield every optimiser step that can be read, in order."""
        for _, note in sorted(self.notes.items()):
            try:
                update = read_update(self.run.root, note, self.heads)
            except StoreError as error:
                is_lost = any(name not in self.heads for name in names_of(note))
                if not is_lost and str(error) not in self.damage:
                    self.unread.append(str(error))
                continue
            yield UpdateSubject(update=update, run=self)

    def _note(self, error: StoreError, module: Any) -> None:
        self.damage.setdefault(str(error), module.FOLDER)


@dataclass(frozen=True, kw_only=True, eq=False)
class UpdateSubject:
    """One optimiser step, and what the methods of the run make of it now."""

    update: Update
    run: RunSubject

    @property
    def where(self) -> str:
        """Its name in findings."""
        return f"step {self.update.number}"

    @property
    def num_tokens(self) -> int:
        """N, sampled in the trajectories of the step."""
        return int(self.update.table.token_start[-1])

    @cached_property
    def unsound(self) -> dict[str, str]:
        """What is wrong with the form of its rewards and advantages."""
        return unsound(self.update)

    @cached_property
    def shaped(self) -> Shaped:
        """What the shaper of the run makes of the recorded terms."""
        return self.update.shape(self.run.methods.shaping)

    @cached_property
    def credited(self) -> Floats:
        """What the estimator of the run makes of the recorded rewards, [S] or [N].

        Raises:
            NotChecked: they are not sound, or a column that it needs is not in the record.
        """
        table, credit = self.update.table, self.run.methods.credit
        if "rewards" in self.unsound:
            raise NotChecked(f"{self.where}: {self.unsound['rewards']} (see finite)")
        missing = credit.missing_columns(table)
        if missing:
            raise NotChecked(f"the estimator needs {missing[0]!r}, which is not in the record")
        return credit(table, self.update.rewards)

    @property
    def advantages(self) -> Floats:
        """Those recorded, [S] or [N].

        Raises:
            NotChecked: they are not sound.
        """
        if "advantages" in self.unsound:
            raise NotChecked(f"{self.where}: {self.unsound['advantages']} (see finite)")
        return self.update.advantages

    @cached_property
    def row(self) -> Ints:
        """The number of each token's row in a batch, [N]; -1: no segment of its trajectory has it."""
        table = self.update.table
        row = np.full(self.num_tokens, -1, dtype=np.int64)
        number = 0
        for trajectory, first_step in zip(
            self.update.trajectories, table.step_start[:-1], strict=True
        ):
            for segment in trajectory.segments:
                for step, first, stop in segment.steps:
                    start = table.token_start[first_step + step]
                    row[start : start + stop - first] = number
                number += 1
        return row

    @cached_property
    def in_batch(self) -> Floats:
        """The recorded advantages as a batch has them, [N]: the smallest become 0.

        Raises:
            NotChecked: they are not sound.
        """
        return self.per_token(self.advantages).astype(np.float32)

    @cached_property
    def in_trained_row(self) -> Bools:
        """Whether any token of a token's row has an advantage, [N].

        Raises:
            NotChecked: advantages are not sound.
        """
        has = np.bincount(self.row + 1, weights=self.in_batch != 0) > 0
        return np.asarray(has[self.row + 1] & (self.row >= 0))

    def per_token(self, values: Floats) -> Floats:
        """Spread values of steps [S] over their tokens, giving [N]."""
        table = self.update.table
        if len(values) == table.num_steps:
            return np.repeat(values, np.diff(table.token_start))
        return values


def names_of(note: Note) -> list[str]:
    """Return the ids of the episodes that an optimiser step used."""
    names = note.payload.get("trajectories")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def some(items: Iterable[Any], number: int = 3) -> str:
    """Name the first few of many."""
    found = list(islice(items, number + 1))
    return ", ".join(map(str, found[:number])) + (" ..." if len(found) > number else "")
