"""A file of JSON lines that grows while it is read: `metrics.jsonl`, `events.jsonl`."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.store.jsonline import from_json

LONGEST = 1 << 20
"""Bytes of a line; a longer one is left out."""

_START = 512


class GrowingLines:
    """Hands out each line once, when it is ended; what is no object is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = b""  # how the file begins: inodes are used again
        self._offset = 0

    def is_another(self) -> bool:
        """Return whether the file was replaced or cut, so that it is to be read from its start."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return size < self._offset or not file.read(_START).startswith(self._start)
        except OSError:
            return self._offset > 0

    def restart(self) -> None:
        """Begin again."""
        self._start, self._offset = b"", 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that came since the last call; a file that is not there has none."""
        with suppress(OSError), self._path.open("rb") as file:
            self._start = file.read(_START)
            file.seek(self._offset)
            while (line := file.readline(LONGEST)).endswith(b"\n") or len(line) == LONGEST:
                self._offset = file.tell()
                with suppress(ValueError, RecursionError):
                    value = from_json(line)
                    if isinstance(value, dict):
                        yield value
