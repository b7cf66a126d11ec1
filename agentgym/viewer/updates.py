"""The optimiser steps of a run: which of them used an episode, and the last ones that were read."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock

from agentgym.errors import StoreError, boundary
from agentgym.store import notes
from agentgym.store.episodes import EpisodeHead
from agentgym.store.frames import Head, read_heads, shards, skipping, split_name
from agentgym.store.notes import Note, read_note
from agentgym.trainers.recompute import TRAINER, UPDATE, Update, read_update


class Updates:
    """The notes of the trainer, without their columns; a step is read whole when it is asked for.

    Safe to call from several threads.
    """

    def __init__(self, run_dir: str | Path, heads: Mapping[str, EpisodeHead]) -> None:
        self.broken: list[str] = []
        """What of the notes cannot be read; it is left out."""
        self._root = Path(run_dir)
        self._heads = heads
        self._notes: dict[int, Note] = {}
        self._step_of: dict[str, int] = {}
        self._seen: dict[Path, int] = {}  # where the last whole record ends that was read
        self._read: OrderedDict[int, Update] = OrderedDict()
        self._lock = Lock()  # over all of the above

    @property
    def steps(self) -> list[int]:
        """The optimiser steps, as the record counts: from 0."""
        with self._lock:
            return sorted(self._notes)

    def step_of(self, episode: str) -> int | None:
        """Return the optimiser step that used an episode; None: none did so far."""
        with self._lock:
            return self._step_of.get(episode)

    def note(self, step: int) -> Note:
        """Return the note of a step, without its columns.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            return self._notes[step]

    def refresh(self) -> bool:
        """Take in what was noted since; return whether there was anything."""
        with self._lock:
            before = len(self._seen), sum(self._seen.values())
            for path in shards(self._root / notes.FOLDER):
                if (split_name(path) or ("",))[0] == TRAINER:
                    with skipping(self._tell):
                        self._take_in(path)
            return before != (len(self._seen), sum(self._seen.values()))

    def read(self, step: int) -> Update:
        """Return an optimiser step with its table and columns; the last two are kept.

        Raises:
            KeyError: there is no such step.
            StoreError: it, or an episode that it used, cannot be read.
        """
        with self._lock:
            if step not in self._read:
                self._read[step] = read_update(self._root, self._notes[step], self._heads)
            self._read.move_to_end(step)
            while len(self._read) > 2:
                self._read.popitem(last=False)
            return self._read[step]

    def _take_in(self, path: Path) -> None:
        for head in read_heads(path, schema=notes.SCHEMA):
            if head.stop > self._seen.get(path, 0):
                self._seen[path] = head.stop
                if head.fields.get("kind") == UPDATE:
                    with skipping(self._tell), boundary(StoreError, f"reading a note of {path}"):
                        self._add(head)

    def _add(self, head: Head) -> None:
        note = replace(read_note(head), columns={})
        step, names = int(note.payload["step"]), note.payload["trajectories"]
        if step in self._notes:  # it was repeated after a crash: the later note counts
            for name in self._notes[step].payload["trajectories"]:
                self._step_of.pop(name, None)
            self._read.pop(step, None)
        self._notes[step] = note
        self._step_of |= dict.fromkeys(map(str, names), step)

    def _tell(self, error: StoreError) -> None:
        if str(error) not in self.broken:
            self.broken.append(str(error))
