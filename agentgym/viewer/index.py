"""The index of one run: what lists of its episodes show, in a SQLite file.

It stands in the cache of the user and holds nothing that is not in the run: a file that is
deleted, broken or of a run that was replaced is made anew. It is filled by hopping over heads,
from where the last reading stopped, so that a run that grows, or a million episodes, cost what is
new. Several servers may fill one file at once.
"""

import hashlib
import logging
import os
import platform
import re
import secrets
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
from agentgym.viewer.entries import clean, take

logger = logging.getLogger(__name__)

R = TypeVar("R")

_VERSION = 5  # of the tables below; part of the file's name
_MARK_BYTES = 256  # a header and the beginning of the first record, with its checksum
_TABLE_GONE = re.compile(r"no such (table|column): (?!words)")  # words are made when asked for
_ORDERS = 4  # lists that are kept in their order; of a million episodes each takes 8 MB
_TABLES = """
CREATE TABLE IF NOT EXISTS shard
    (name TEXT PRIMARY KEY, mark BLOB, size INTEGER, stop INTEGER);
CREATE TABLE IF NOT EXISTS broken (shard TEXT, at INTEGER, told TEXT, PRIMARY KEY (shard, at));
CREATE TABLE IF NOT EXISTS episode
    (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, grp TEXT, member INTEGER,
     attempt INTEGER, task TEXT, env TEXT, split TEXT, "end" TEXT, reason TEXT, outcome REAL,
     turns INTEGER, tokens INTEGER, version_min INTEGER, version_max INTEGER,
     parent TEXT, fork_step INTEGER, shared INTEGER, shard TEXT, offset INTEGER, tagged INTEGER);
CREATE INDEX IF NOT EXISTS episode_grp ON episode (grp, member);
CREATE INDEX IF NOT EXISTS episode_fork ON episode (parent) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS episode_fault ON episode (row) WHERE "end" = 'error';
CREATE INDEX IF NOT EXISTS episode_untagged ON episode (row) WHERE tagged IS NULL;
CREATE TABLE IF NOT EXISTS team (number INTEGER PRIMARY KEY, grp TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS step
    (step INTEGER PRIMARY KEY, version INTEGER, shard TEXT, offset INTEGER);
CREATE TABLE IF NOT EXISTS used
    (id TEXT PRIMARY KEY, step INTEGER, place INTEGER, reward REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS used_step ON used (step);
CREATE TABLE IF NOT EXISTS credit
    (step INTEGER, label TEXT, shard TEXT, offset INTEGER, PRIMARY KEY (step, label));
CREATE TABLE IF NOT EXISTS label
    (number INTEGER PRIMARY KEY, id TEXT, label TEXT, text TEXT, time REAL);
CREATE INDEX IF NOT EXISTS label_id ON label (id, time);
CREATE TABLE IF NOT EXISTS tag (id TEXT, tag TEXT, PRIMARY KEY (id, tag)) WITHOUT ROWID;
"""


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
                if is_last or not _is_harm(error):
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
        """Return where the file stands; a file that several machines share would break."""
        key = f"{platform.node()}\0{self._root.resolve()}"
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=12)
        name = f"{digest.hexdigest()}-{_VERSION}.sqlite"
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
        db = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA cache_size = -16000")
            db.executescript(_TABLES)
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                db.execute(f"PRAGMA user_version = {secrets.randbelow(1 << 31) or 1}")
        except BaseException:
            db.close()
            raise
        self._inode = _inode_of(self.path)
        return db

    def _recover(self, error: sqlite3.Error) -> bool:
        """Go on after what SQLite could not do: wait, begin again, or say why not."""
        if _is_busy(error):
            return True
        if _is_full(error):
            self._trouble = f"the index {self.path} cannot be kept: {error}"
            return False
        logger.debug("making the index %s anew: %s", self.path, error)
        self._start_anew()
        return True

    def _start_anew(self) -> None:
        with self._writing, self._reading:
            self._let_go()
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _let_go(self) -> None:
        with self._reading:
            for each in (self._reader, self._writer):
                if each is not None:
                    each.close()
            self._reader = self._writer = None
            self._seen = {}
            self._orders.clear()


def cache_folder() -> Path:
    """Return where indexes stand: `~/.cache/agentgym`, or where XDG_CACHE_HOME says."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "agentgym" / "index"


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


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_full(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _is_harm(error: sqlite3.Error) -> bool:
    """Return whether it is the file that is broken, and not what was asked."""
    if _code(error) == sqlite3.SQLITE_ERROR:
        return _TABLE_GONE.match(str(error)) is not None
    return _code(error) != sqlite3.SQLITE_TOOBIG and not _is_busy(error)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's number of an error; 1 (of any kind) where Python made it."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
