"""Labels that people give to episodes: notes in the run, of which the newest counts.

A label that is empty takes the one before it away.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agentgym.errors import ConfigError, StoreError, boundary
from agentgym.store.notes import NoteWriter, leave_out, read_notes

KIND = "label"
"""Of these notes."""

PRODUCER = "viewer"
"""Who writes them."""

LONGEST_LABEL = 80
LONGEST_TEXT = 10_000


class Label(NamedTuple):
    """What somebody said of an episode."""

    label: str
    text: str
    time: float
    """In seconds since 1970."""


class Labels:
    """Writes the labels of one run. Safe to call from several threads."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock
        self._writer: NoteWriter | None = None
        self._inode = 0
        self._lock = threading.Lock()

    def put(self, episode: str, label: object, text: object) -> Label:
        """Label an episode, on the disk when this returns.

        Raises:
            ConfigError: label or text is none, or too long.
            StoreError: the run cannot be written.
        """
        found = Label(_line(label), _text(text), self._clock())
        with self._lock:
            writer = self._opened()
            writer.append(KIND, {"episode": episode, **found._asdict()})
            writer.sync()
        return found

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        with self._lock:
            self._close()

    def _opened(self) -> NoteWriter:
        """Return the writer of the directory that has the run's name now."""
        try:
            inode = self._root.stat().st_ino
        except OSError as error:
            raise StoreError(f"{self._root} cannot be written: {error.strerror}") from error
        if self._writer is None or inode != self._inode:
            self._close()
            self._writer, self._inode = NoteWriter(self._root, producer=PRODUCER), inode
        return self._writer

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def read_labels(run_dir: str | Path) -> dict[str, Label]:
    """Return the label of each episode that has one, by its id.

    What cannot be read is told to the log and left out.

    Raises:
        StoreError: there is no such directory.
    """
    found: dict[str, Label] = {}
    for note in read_notes(run_dir, KIND, on_broken=leave_out):
        try:
            with boundary(StoreError, f"reading a label of {run_dir}"):
                name, given = str(note.payload["episode"]), note.payload
                label = Label(str(given["label"]), str(given["text"]), float(given["time"]))
        except StoreError as error:
            leave_out(error)
            continue
        if name not in found or label.time >= found[name].time:
            found[name] = label
    return {name: label for name, label in found.items() if label.label}


def _line(value: object) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text is None or len(text) > LONGEST_LABEL or not text.isprintable():
        raise ConfigError(
            f"a label is a line of at most {LONGEST_LABEL} characters, got {str(value)[:40]!r}",
            hint="say more in its text; an empty label takes the last one away",
        )
    return text


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ConfigError(f"the text of a label has at most {LONGEST_TEXT} characters")
    return value
