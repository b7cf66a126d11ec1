"""Full text of episodes: an index of words that is begun with the first search, and not before."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from agentgym.errors import StoreError
from agentgym.store.frames import read_record
from agentgym.viewer.entries import clean
from agentgym.viewer.index import Index

_LONGEST = 4 << 20  # characters of one episode that are searched
_TABLES = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, content='');
CREATE TABLE IF NOT EXISTS worded (row INTEGER PRIMARY KEY);
"""


class TextIndex:
    """The words of a run's episodes, in the file of its index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._is_wanted = False

    def want(self) -> None:
        """Begin, if that has not been done; a search before the end finds what is there.

        Raises:
            StoreError: this SQLite has no full text, or the index is busy.
        """
        try:
            with self._index.changing() as db:
                _make(db)
        except sqlite3.Error as error:
            raise StoreError(f"the words of episodes cannot be kept here: {error}") from error
        self._is_wanted = True

    def refresh(self, limit: int = 50) -> bool:
        """Take the words of up to `limit` episodes; return whether there are more."""
        if not self._is_wanted:
            return False
        with self._index.changing() as db:
            _make(db)
            ((last,),) = db.execute("SELECT coalesce(max(row), 0) FROM worded")
            found = db.execute(
                "SELECT row, shard, offset FROM episode WHERE row > ? ORDER BY row LIMIT ?",
                (last, limit),
            ).fetchall()
            for row, shard, offset in found:
                values = row, self._text(shard, offset)
                db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", values)
            if found:
                db.execute("DELETE FROM worded")
                db.execute("INSERT INTO worded VALUES (?)", (found[-1][0],))
        return len(found) == limit

    @property
    def progress(self) -> dict[str, int] | None:
        """How many episodes can be searched, of how many; None: nobody has searched yet."""
        if not self._is_wanted:
            return None
        last = "SELECT coalesce(max(row), 0) FROM worded"
        ((done,),) = self._index.query(f"SELECT count(*) FROM episode WHERE row <= ({last})")
        ((count,),) = self._index.query("SELECT count(*) FROM episode")
        return {"episodes": done, "of_episodes": count}

    def _text(self, shard: str, offset: int) -> str:
        """Return what was said in an episode; of one that is broken, nothing."""
        try:
            body = read_record(self._index.head_at(shard, offset), only=()).body
            return clean("\n".join(spoken(body)))[:_LONGEST].replace("\0", " ")
        except StoreError:
            return ""


def spoken(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text of a recorded episode: messages, calls of tools, and why it ended."""
    messages = [*_list(body.get("prompt"))]
    for step in _list(body.get("steps")):
        if isinstance(step, dict):
            messages += [step.get("message"), *_list(step.get("replies"))]
    for message in messages:
        if isinstance(message, dict):
            yield str(message.get("content") or "")
            for call in _list(message.get("tool_calls")):
                function = call.get("function") if isinstance(call, dict) else None
                if isinstance(function, dict):
                    yield f"{function.get('name')} {function.get('arguments')}"
    yield str(body.get("reason") or "")


def _make(db: sqlite3.Connection) -> None:
    for statement in _TABLES.strip().splitlines():
        db.execute(statement)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
