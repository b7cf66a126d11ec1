"""A file of JSON lines that grows while it is read: `metrics.jsonl`, `events.jsonl`."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.store.jsonline import from_json

LONGEST = 1 << 20
"""Bytes of a line; a longer one is left out."""


class GrowingLines:
    """Hands out each line once, when it is ended; what is no object is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def is_another(self) -> bool:
        """Return whether the file was replaced or cut, so that it is to be read from its start."""
        try:
            found = self._path.stat()
        except OSError:
            return self._offset > 0
        return found.st_size < self._offset or found.st_ino != (self._inode or found.st_ino)

    def restart(self) -> None:
        """Begin again."""
        self._inode = self._offset = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that came since the last call; a file that is not there has none."""
        with suppress(OSError), self._path.open("rb") as file:
            self._inode = os.fstat(file.fileno()).st_ino
            file.seek(self._offset)
            while (line := file.readline(LONGEST)).endswith(b"\n") or len(line) == LONGEST:
                self._offset = file.tell()
                with suppress(ValueError, RecursionError):
                    value = from_json(line)
                    if isinstance(value, dict):
                        yield value
