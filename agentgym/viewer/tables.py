"""The tables of an index, and what can go wrong with the file that they are in."""

import re
import secrets
import sqlite3
from pathlib import Path

VERSION = 5
"""Of the tables; part of the name of their file."""

_GONE = re.compile(r"no such (table|column): (?!words)")  # words are made when asked for
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


def open_tables(path: Path) -> sqlite3.Connection:
    """Open the file, with all tables; a new one gets a number of its own."""
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
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
    return db


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another server is at it, and it may be tried again."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Return whether the file cannot be written."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def is_harm(error: sqlite3.Error) -> bool:
    """Return whether it is the file that is broken, and not what was asked."""
    if _code(error) == sqlite3.SQLITE_ERROR:
        return _GONE.match(str(error)) is not None
    return _code(error) != sqlite3.SQLITE_TOOBIG and not is_busy(error)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's number of an error; 1 (of any kind) where Python made it."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
