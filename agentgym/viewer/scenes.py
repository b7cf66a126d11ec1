"""Optimiser steps and groups of a run as estimators see them; the last ones that were asked for.

Rewards and advantages look at tokens only to count them, so that these episodes come without:
a step of a large training has more tokens than a server should hold.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

from agentgym.config.methods import Methods, recorded_methods, recorded_training
from agentgym.errors import ConfigError, StoreError, boundary
from agentgym.store.columns import Columns
from agentgym.store.episodes import EpisodeHead, episode_head, read_episode
from agentgym.store.frames import Head, read_record
from agentgym.store.notes import Note, read_note
from agentgym.store.run import Run
from agentgym.store.trajectory import from_body
from agentgym.table import Floats
from agentgym.trainers.recompute import Update, read_update
from agentgym.types import Step, Trajectory
from agentgym.viewer.entries import clean, is_scored
from agentgym.viewer.index import Index
from agentgym.viewer.listing import members_of
from agentgym.viewer.noted import read_noted_advantages
from agentgym.viewer.scene import Scene
from agentgym.viewer.weights import TokenWeights

_KEPT = 4  # scenes: the group on screen, and some that were there before

T = TypeVar("T")


class Used(NamedTuple):
    """Where the note of an optimiser step stands, and the methods that it was made by."""

    origin: int
    """Of the index that says so."""
    step: int
    shard: str
    offset: int
    config: tuple[int, int]


class Scenes:
    """What a run is asked about. Safe to call from several threads."""

    def __init__(self, root: Path, index: Index) -> None:
        self._root = root
        self._index = index
        self._scenes = _Kept[Scene](_KEPT)
        self._weights = _Kept[TokenWeights](2)

    def of_episode(self, name: str) -> Scene:
        """Return the optimiser step that used an episode, or its group, or else the group alone.

        Raises:
            ConfigError: its methods are not known, or nothing is in it but faults.
            StoreError: a record is broken.
        """
        if used := self._used([name]):
            return self._trained(used)
        found = self._index.query("SELECT grp FROM episode WHERE id = ?", (clean(name),))
        return self.of_group(found[0][0] if found else name)

    def of_group(self, group: str) -> Scene:
        """Return the optimiser step that used a group, or else the group alone.

        Raises:
            ConfigError, StoreError: as `of_episode`.
        """
        used = self._used(members_of(self._index, group))
        return self._trained(used) if used else self._played(group)

    def weights(self, name: str) -> TokenWeights | None:
        """Return the tokens of an episode in the optimiser step that used it; None: none did.

        Raises:
            ConfigError: it is not known how they were weighed.
            StoreError: a record is broken.
        """
        used = self._used([name])
        return self._weights.get((used, name), lambda: self._weigh(used, name)) if used else None

    def methods(self) -> Methods:
        """Return how the run shaped and gave credit.

        Raises:
            ConfigError: its configuration does not tell.
        """
        return _methods_in(self._config, _state(self._config))

    def _trained(self, used: Used) -> Scene:
        def make() -> Scene:
            update = self._update(used)
            names = update.table.trajectory_ids

            def noted(label: str) -> Floats | None:
                return read_noted_advantages(self._index, used.step, label, names)

            return Scene.trained(update, self.methods(), where=str(self._root), noted=noted)

        return self._scenes.get(used, make)

    def _played(self, group: str) -> Scene:
        names = members_of(self._index, group)

        def make() -> Scene:
            heads = [head for name in names if (head := self._index.head(name))]
            if heads and not any(map(is_scored, heads)):
                raise ConfigError(
                    "no reward was recorded of this group, so that there is nothing to give credit for",
                    hint="the file that the run was made of tells none",
                )
            found = [read_plain(head) for head in heads]
            return Scene.played(found, self.methods(), where=str(self._root))

        key = (self._index.origin, group, tuple(names), _state(self._config))
        return self._scenes.get(key, make)

    def _weigh(self, used: Used, name: str) -> TokenWeights:
        update, head = self._trained(used).update, self._index.head(name)
        assert update is not None, "a trained scene has one"
        if head is None:
            raise StoreError(f"the episode {name} is gone", hint="load the page again")
        whole = read_episode(episode_head(head))
        opened = (whole if each.id == whole.id else each for each in update.trajectories)
        seed = Run.open(self._root).info.get("seed")
        return TokenWeights(
            update=replace(update, trajectories=tuple(opened)),
            training=recorded_training(self._config),
            seed=seed if isinstance(seed, int) else 0,
            episode=whole.id,
        )

    def _update(self, used: Used) -> Update:
        note = replace(read_note(self._index.head_at(used.shard, used.offset)), columns={})
        with boundary(StoreError, f"reading the note of step {used.step}"):
            heads = self._heads(note)
        return read_update(self._root, note, heads, read=lambda head: read_places(head.frame))

    def _heads(self, note: Note) -> dict[str, EpisodeHead]:
        found = ((name, self._index.head(name)) for name in note.payload["trajectories"])
        return {name: episode_head(head) for name, head in found if head is not None}

    def _used(self, names: Iterable[str]) -> Used | None:
        """Return the last step that used one of these episodes."""
        sql = "SELECT s.step, s.shard, s.offset FROM used u JOIN step s ON s.step = u.step WHERE u.id = ?"
        rows = [row for name in names for row in self._index.query(sql, (clean(name),))]
        if not rows:
            return None
        step, shard, offset = max(rows)
        return Used(self._index.origin, step, shard, offset, _state(self._config))

    @property
    def _config(self) -> Path:
        return self._root / "config.toml"


class _Kept(Generic[T]):
    """The last values that were made; one is made at a time, as each takes memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._found:
                while len(self._found) >= self._most:
                    self._found.popitem(last=False)
                self._found[key] = make()
            self._found.move_to_end(key)
            return self._found[key]


def read_plain(head: Head) -> Trajectory:
    """Open an episode without its tokens; completions still tell how many they have.

    Raises:
        StoreError: its record is broken.
    """
    return plain_of(head, read_record(head, only=()).body)


def read_places(head: Head) -> Trajectory:
    """Open an episode in the same way; its segments tell where the tokens of each step stand.

    Raises:
        StoreError: its record is broken.
    """
    record = read_record(head, only=("step_ranges",))
    return plain_of(head, record.body, record.columns)


def plain_of(head: Head, body: Mapping[str, Any], columns: Columns | None = None) -> Trajectory:
    """Return the episode that a record tells, as far as it was read.

    Raises:
        StoreError: it tells none.
    """
    with boundary(StoreError, f"{head.shard}: reading the episode at byte {head.offset}"):
        trajectory = from_body(body, columns or {})
        for step, stored in zip(trajectory.steps, body["steps"], strict=True):
            _count_tokens(step, stored.get("completion"))
        return trajectory


def _count_tokens(step: Step, stored: Mapping[str, Any] | None) -> None:
    """Put numbers in the place of a completion's tokens: there is nothing to read in them."""
    if step.completion is not None and stored is not None:
        places = cast(tuple[int, ...], range(int(stored["num_tokens"])))
        step.completion = replace(step.completion, token_ids=places)


@lru_cache(maxsize=64)
def _methods_in(config: Path, state: tuple[int, int]) -> Methods:
    """Read methods once for each state of the file: pydantic takes a while."""
    return recorded_methods(config)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
