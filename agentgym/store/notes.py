"""Annotations on disk: `runs/<run>/notes/<producer>-00001.jsonl.zst`, in the grammar of episodes.

What is learnt about episodes after they were recorded: rewards, advantages, entropies, the
trainer's log-probabilities, which trajectories an optimiser step used.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from agentgym.errors import StoreError, boundary
from agentgym.store.columns import Columns
from agentgym.store.frames import (
    Head,
    OnBroken,
    Record,
    read_record,
    read_records,
    shards,
    skipping,
    split_name,
)
from agentgym.store.jsonline import to_json
from agentgym.store.writer import ROLL_BYTES, ShardWriter

logger = logging.getLogger(__name__)

SCHEMA = "agentgym.notes/1"
FOLDER = "notes"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Note:
    """One annotation."""

    producer: str
    kind: str
    payload: dict[str, Any]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    frame: Head | None = None
    """Where it stands, if it was read: `read_note` reads it again."""


class NoteWriter(ShardWriter):
    """Appends annotations to a run. A restarted writer goes on in another file."""

    def __init__(
        self,
        run_dir: str | Path,
        *,
        producer: str,
        roll_bytes: int = ROLL_BYTES,
        pid: int | None = None,
    ) -> None:
        folder = Path(run_dir) / FOLDER
        super().__init__(folder, writer=producer, schema=SCHEMA, roll_bytes=roll_bytes, pid=pid)

    def append(self, kind: str, payload: Mapping[str, Any], columns: Columns | None = None) -> None:
        """Write a note whole, or not at all: JSON values, and 1-d columns of numbers, bit for bit.

        Raises:
            StoreError: a value cannot be stored, or the disk is full.
        """
        line = to_json({"kind": kind, "payload": payload})
        self.write({"kind": kind}, line, columns or {})


class NewNoteWriter(NoteWriter):
    """Appends only what the run does not have yet, so that a command can be repeated."""

    def __init__(self, run_dir: str | Path, *, producer: str, kind: str) -> None:
        super().__init__(run_dir, producer=producer)
        self._kind = kind
        self._known = {
            _digest(note.payload, note.columns)
            for note in read_notes(run_dir, kind, producer=producer, on_broken=leave_out)
        }

    def add(self, payload: Mapping[str, Any], columns: Columns) -> bool:
        """Write a note unless an equal one is there; return whether it was new.

        Raises:
            StoreError: a value cannot be stored, or the disk is full.
        """
        digest = _digest(payload, columns)
        if digest in self._known:
            return False
        self.append(self._kind, payload, columns)
        self._known.add(digest)
        return True


def read_notes(
    run_dir: str | Path,
    kind: str | None = None,
    *,
    producer: str | None = None,
    on_broken: OnBroken | None = None,
) -> Iterator[Note]:
    """Yield the whole notes of a run, producer by producer, in the order of writing.

    Args:
        run_dir: the run.
        kind: of this kind only.
        producer: of this one only; the shards of others are not opened.
        on_broken: hears of a shard that cannot be read, which is left out; None: it is an error.

    Raises:
        StoreError: there is no such directory, or a shard is of a newer version.
    """
    root = Path(run_dir)
    if not root.is_dir():
        raise StoreError(f"no run directory {root}")
    for path in shards(root / FOLDER):
        if producer not in (None, (split_name(path) or ("",))[0]):
            continue
        with skipping(on_broken):
            for record in read_records(
                path, schema=SCHEMA, want=lambda head: kind in (None, head.fields.get("kind"))
            ):
                yield _note(record)


def read_note(frame: Head) -> Note:
    """Open one note.

    Raises:
        StoreError: its record is broken.
    """
    return _note(read_record(frame))


def leave_out(error: StoreError) -> None:
    """Warn of a shard that cannot be read, for those who can do without it."""
    logger.warning("%s; it is left out", error)


def _note(record: Record) -> Note:
    head = record.head
    with boundary(StoreError, f"{head.shard}: reading the note at byte {head.offset}"):
        return Note(
            producer=head.header["writer"],
            kind=record.body["kind"],
            payload=record.body["payload"],
            columns=record.columns,
            frame=head,
        )


def _digest(payload: Mapping[str, Any], columns: Columns) -> bytes:
    """Return what tells notes of one kind apart."""
    text = hashlib.blake2b(to_json(payload), digest_size=16)
    for name, column in columns.items():
        text.update(f"{name} {column.dtype.str} {len(column)} ".encode())
        text.update(column.tobytes())
    return text.digest()
