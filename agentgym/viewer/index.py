"""The index of one run: what lists of its episodes show, in a SQLite file.

It stands in the cache of the user and holds nothing that is not in the run: a file that is
deleted, broken or of a run that was replaced is made anew. It is filled by hopping over heads,
from where the last reading stopped, so that a run that grows, or a million episodes, cost what is
new. Several servers may fill one file at once.
"""

import logging
import os
import sqlite3
import tempfile
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agentgym.errors import StoreError
from agentgym.store import episodes, notes
from agentgym.store.frames import Head, read_heads, shards
from agentgym.viewer.cache import cache_folder, index_name, remove_index
from agentgym.viewer.entries import clean, take
from agentgym.viewer.tables import is_busy, is_full, is_harm, open_tables

logger = logging.getLogger(__name__)

R = TypeVar("R")

_MARK_BYTES = 256  # a header and the beginning of the first record, with its checksum
_ORDERS = 4  # lists that are kept in their order; of a million episodes each takes 8 MB


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the episodes is in the index."""

    episodes: int
    bytes: int
    of_bytes: int

    def to_json(self) -> dict[str, int]:
        """Return it as the server tells it."""
        return {"episodes": self.episodes, "bytes": self.bytes, "of_bytes": self.of_bytes}


class Index:
    """Safe to use from several threads: one reading and one writing connection."""

    def __init__(self, root: Path, *, cache: Path | None = None) -> None:
        self._root = root
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.path = self._place(cache or cache_folder())
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode = 0
        self._seen: dict[str, tuple[int, int]] = {}
        self._trouble: str | None = None
        self._orders: OrderedDict[Any, tuple[Any, Sequence[int]]] = OrderedDict()

    def refresh(self, limit: int = 5_000) -> bool:
        """Read up to `limit` new records; return whether there may be more."""
        with self._writing:
            try:
                self._look_for_file()
                more = self._read_on(limit)
            except sqlite3.Error as error:
                return self._recover(error)
            self._trouble = None
            return more

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return rows; of a file that turns out to be broken, those of an empty index.

        Raises:
            StoreError: the index is busy, cannot be kept, or does not understand the question.
        """
        return self._ask(sql, values, sqlite3.Cursor.fetchall)

    def order(self, sql: str, values: Sequence[Any] = (), *, keep: bool = True) -> Sequence[int]:
        """Return the first column, of row numbers; with `keep` it is kept until records are read.

        So that the next page of a list need not be sorted again.

        Raises:
            StoreError: as `query`.
        """
        read = self.query("SELECT count(*), sum(stop) FROM shard")
        key = sql, tuple(values)
        with self._reading:
            if keep and key in self._orders and self._orders[key][0] == read:
                self._orders.move_to_end(key)
                return self._orders[key][1]
        found = self._ask(sql, values, lambda rows: array("q", (row for (row,) in rows)))
        with self._reading:
            self._orders[key] = read, found
            while len(self._orders) > _ORDERS:
                self._orders.popitem(last=False)
        return found

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is whole, or did not happen; another server waits for its end."""
        with self._writing:
            self._writer = self._writer or self._open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    @property
    def origin(self) -> int:
        """A number that is another one after the file was made anew.

        What was remembered of places in the run's files is good for nothing then.
        """
        ((number,),) = self.query("PRAGMA user_version")
        return int(number)

    def head(self, name: str) -> Head | None:
        """Return where an episode is; None: there is none of this id."""
        found = self.query("SELECT shard, offset FROM episode WHERE id = ?", (clean(name),))
        return self.head_at(*found[0]) if found else None

    def head_at(self, shard: str, offset: int) -> Head:
        """Return the head of the record at a place that the index names.

        Raises:
            StoreError: it is not there any more.
        """
        folder, _, name = shard.partition("/")
        schema = episodes.SCHEMA if folder == episodes.FOLDER else notes.SCHEMA
        path = self._root / folder / name
        for head in read_heads(path, schema=schema, start=offset):
            return head
        raise StoreError(f"{path}: the record at byte {offset} is gone", hint="load the page again")

    @property
    def progress(self) -> Progress:
        """How far it is."""
        ((count,),) = self.query("SELECT count(*) FROM episode")
        prefix = f"{episodes.FOLDER}/%"
        ((done,),) = self.query("SELECT sum(stop) FROM shard WHERE name LIKE ?", (prefix,))
        return Progress(count, done or 0, sum(map(_size_of, shards(self._root / episodes.FOLDER))))

    @property
    def broken(self) -> list[str]:
        """What of the record cannot be read, in words."""
        found = [told for (told,) in self.query("SELECT told FROM broken ORDER BY shard, at")]
        return [*found, *([self._trouble] if self._trouble else [])]

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        with self._writing:
            self._let_go()
            if self._temporary is not None:
                self._temporary.cleanup()

    def _ask(self, sql: str, values: Sequence[Any], take: Callable[[sqlite3.Cursor], R]) -> R:
        for is_last in (False, True):
            try:
                with self._reading:
                    self._reader = self._reader or self._open()
                    return take(self._reader.execute(sql, values))
            except sqlite3.Error as error:
                if is_last or not is_harm(error):
                    raise StoreError(f"the index {self.path} cannot be read: {error}") from error
                self._start_anew()
        raise AssertionError

    def _look_for_file(self) -> None:
        """Let go of a file that somebody deleted, or put another in the place of."""
        inode = _inode_of(self.path)
        if not inode:
            self._start_anew()  # what SQLite left beside it belongs to no other
        elif self._writer is not None and inode != self._inode:
            self._let_go()

    def _read_on(self, limit: int) -> bool:
        found = {
            f"{folder}/{path.name}": path
            for folder in (episodes.FOLDER, notes.FOLDER)
            for path in shards(self._root / folder)
        }
        if not self._seen:
            known = self.query("SELECT name FROM shard")
            self._seen = {name: (-1, -1) for (name,) in known}
        if any(name not in found for name in self._seen):
            self._start_anew()
            return True
        for name, path in found.items():
            with suppress(OSError):  # gone in between: the next reading sees that
                limit -= self._read_shard(name, path, limit)
            if limit <= 0:
                return True
        return False

    def _read_shard(self, name: str, path: Path, limit: int) -> int:
        """Take the new records of a shard; return how many there were."""
        if self._seen.get(name) == _state_of(path):
            return 0
        taken = None
        with self.changing() as db:
            # Not before: another server may have read further by the time that it is our turn.
            mark, status = _mark(path), path.stat()
            row = db.execute(
                "SELECT mark, size, stop FROM shard WHERE name = ?", (name,)
            ).fetchone()
            known, size, stop = row or (b"", -1, 0)
            is_another = stop > status.st_size or not mark.startswith(known)
            if not is_another and size != status.st_size:
                taken = take(db, name, path, start=stop, limit=limit)
                size = -1 if taken.is_more else status.st_size
                values = (name, mark, size, taken.stop)
                db.execute("INSERT OR REPLACE INTO shard VALUES (?, ?, ?, ?)", values)
        if is_another:
            self._start_anew()
            return limit  # begin with the first shard again
        if size == status.st_size:
            self._seen[name] = status.st_ino, status.st_size
        return taken.records if taken else 0

    def _place(self, cache: Path) -> Path:
        """Return where the file stands; where nothing may be kept, for as long as this is open."""
        name = index_name(self._root)
        try:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(cache, os.W_OK):
                return cache / name
        except OSError:
            pass
        self._temporary = tempfile.TemporaryDirectory(prefix="agentgym-index-")
        return Path(self._temporary.name) / name

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = open_tables(self.path)
        with suppress(OSError):
            os.utime(self.path)  # so that it is not taken for stale
        self._inode = _inode_of(self.path)
        return db

    def _recover(self, error: sqlite3.Error) -> bool:
        """Go on after what SQLite could not do: wait, begin again, or say why not."""
        if is_busy(error):
            return True
        if is_full(error):
            self._trouble = f"the index {self.path} cannot be kept: {error}"
            return False
        logger.debug("making the index %s anew: %s", self.path, error)
        self._start_anew()
        return True

    def _start_anew(self) -> None:
        with self._writing, self._reading:
            self._let_go()
            remove_index(self.path)

    def _let_go(self) -> None:
        with self._reading:
            for each in (self._reader, self._writer):
                if each is not None:
                    each.close()
            self._reader = self._writer = None
            self._seen = {}
            self._orders.clear()


def _mark(path: Path) -> bytes:
    """Return what tells a shard from another one that takes its name: how it begins.

    A shard that grew still begins with the mark that it had.
    """
    with path.open("rb") as file:
        return file.read(_MARK_BYTES)


def _state_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_size


def _inode_of(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
