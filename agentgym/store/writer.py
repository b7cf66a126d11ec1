"""Appending records to shards. What is in a shard is in `frames.py`."""

import os
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from agentgym.errors import StoreError
from agentgym.store.columns import Columns
from agentgym.store.files import append_whole, sync_folder, write_error
from agentgym.store.frames import encode_header, encode_record, shard_name, shards, split_name

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROLL_BYTES = 256 << 20

_LEVEL = 1  # two thirds of the time of the usual 3, for at most 7 % more bytes of text

_NEW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
_WRITER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ShardWriter:
    """Appends records to shards of its own; safe to call from several threads.

    A shard is made when its first record comes, under a number nobody has used, and is never
    opened again: after a restart, a failure or 256 MB the next record goes to another one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        writer: str,
        schema: str,
        roll_bytes: int = ROLL_BYTES,
        pid: int | None = None,
    ) -> None:
        """`pid` is what headers say who wrote; None: this process."""
        if not _WRITER_NAME.fullmatch(writer):
            raise StoreError(f"a writer cannot be called {writer!r}: its files bear the name")
        self._folder = folder
        self._writer = writer
        self._schema = schema
        self._roll_bytes = roll_bytes
        self._pid = os.getpid() if pid is None else pid
        self._lock = threading.Lock()
        self._compressor = zstd.ZstdCompressor(level=_LEVEL)  # has a lock of its own
        self._descriptor: int | None = None
        self._path = folder

    def claim(self) -> int:
        """Make the shard of the next record now; return its number, which no other process gets.

        Raises:
            StoreError: the folder cannot be written, or the disk is full.
        """
        with self._lock:
            if self._descriptor is None:
                self._open()
            named = split_name(self._path)
            assert named is not None
            return named[1]

    def write(self, head: Mapping[str, Any], line: bytes, columns: Columns) -> None:
        """Append a record whole, or not at all; `line` is its body as JSON.

        Raises:
            StoreError: the record holds what cannot be stored, or the disk is full.
        """
        data = encode_record(head, line, columns, self._compressor)
        with self._lock:
            descriptor = self._open() if self._descriptor is None else self._descriptor
            try:
                append_whole(descriptor, data, path=self._path)
            except BaseException:
                with suppress(StoreError):
                    self._close()
                raise
            if os.fstat(descriptor).st_size >= self._roll_bytes:
                self._close()

    def sync(self) -> None:
        """Make everything appended so far survive a power cut.

        Raises:
            StoreError: the disk reports a failure.
        """
        with self._lock:
            if self._descriptor is not None:
                self._sync(self._descriptor)

    def close(self) -> None:
        """Sync, and free the file. Idempotent.

        Raises:
            StoreError: the disk reports a failure.
        """
        with self._lock:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> int:
        header = {"schema": self._schema, "writer": self._writer, "pid": self._pid}
        data = encode_header(header)
        self._path, descriptor = _create(self._folder, self._writer, size=len(data))
        try:
            append_whole(descriptor, data, path=self._path)
        except BaseException:
            os.close(descriptor)
            self._path.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor
        return descriptor

    def _sync(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
            sync_folder(self._folder)
        except OSError as error:
            raise write_error(error, path=self._path, size=0) from error

    def _close(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def _create(folder: Path, writer: str, *, size: int) -> tuple[Path, int]:
    """Make a new file under the next free number; another process may be doing the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = [match for path in shards(folder) if (match := split_name(path))]
        number = max((last for name, last in used if name == writer), default=0)
        while True:
            number += 1
            path = folder / shard_name(writer, number)
            try:
                return path, os.open(path, _NEW, 0o666)
            except FileExistsError:
                continue
    except OSError as error:
        raise write_error(error, path=folder, size=size) from error
