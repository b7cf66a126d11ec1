"""The tags of a run's episodes, put into its index in the background.

A tag needs the whole episode. So they are found for what is on screen, for all of a small run, and
for all of a large one only once somebody filters by a tag.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from agentgym.errors import StoreError, boundary
from agentgym.types import Trajectory
from agentgym.viewer.entries import clean
from agentgym.viewer.index import Index
from agentgym.viewer.scenes import read_plain
from agentgym.viewer.tags import Seen, Tagged, tags_of

FEW = 2_000
"""Episodes of a run that are all tagged, asked for or not."""

_WAITING = 2_000  # episodes on screen; of more, the first ones have been scrolled away
_DUE = "SELECT row, id, shard, offset FROM episode WHERE tagged IS NULL"


class TagIndex:
    """The tags of one run."""

    def __init__(self, index: Index, success: Callable[[], float]) -> None:
        self._index = index
        self._success = success
        self._waiting: deque[str] = deque(maxlen=_WAITING)
        self._are_all_wanted = False

    def want(self, names: Iterable[str]) -> None:
        """Take these episodes next."""
        self._waiting.extend(names)

    def want_all(self) -> None:
        """Go through the whole run."""
        self._are_all_wanted = True

    def refresh(self, limit: int = 20) -> bool:
        """Tag up to `limit` episodes; return whether there may be more."""
        due = self._due(limit)
        if not due:
            return False
        with self._index.changing() as db:  # so that no group grows in between
            for row, name, shard, offset in due:
                found = self._find(name, shard, offset)
                db.execute("DELETE FROM tag WHERE id = ?", (name,))
                tags = [(name, each.name) for each in found]
                db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", tags)
                db.execute("UPDATE episode SET tagged = 1 WHERE row = ?", (row,))
        return True

    @property
    def progress(self) -> dict[str, int]:
        """How many episodes are tagged, of how many."""
        ((count, done),) = self._index.query("SELECT count(*), count(tagged) FROM episode")
        return {"episodes": done, "of_episodes": count}

    def _due(self, limit: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        while self._waiting and len(found) < limit:
            found += self._index.query(f"{_DUE} AND id = ?", (self._waiting.popleft(),))
        if found or not self._is_all_due:
            return found
        return self._index.query(f"{_DUE} ORDER BY row LIMIT ?", (limit,))

    @property
    def _is_all_due(self) -> bool:
        sql = "SELECT count(*) FROM (SELECT 1 FROM episode LIMIT ?)"
        ((count,),) = self._index.query(sql, (FEW + 1,))
        return self._are_all_wanted or count <= FEW

    def _find(self, name: str, shard: str, offset: int) -> list[Tagged]:
        """Return the tags of an episode; of one that is broken, none."""
        try:
            trajectory = read_plain(self._index.head_at(shard, offset))
            seen = see(self._index, name, trajectory, success=self._success())
            with boundary(StoreError, f"looking for tags in {name}"):
                return tags_of(seen)
        except StoreError:
            return []


def see(index: Index, name: str, trajectory: Trajectory, *, success: float) -> Seen:
    """Return what tags look at: an episode, what it was paid, and how its group ended."""
    paid = index.query(
        "SELECT u.reward, s.version FROM used u JOIN step s ON s.step = u.step WHERE u.id = ?",
        (clean(name),),
    )
    reward, trained = paid[0] if paid else (None, None)
    group = index.query(
        "SELECT coalesce(outcome, 0), turns FROM episode WHERE grp = ? AND \"end\" != 'error' LIMIT 1000",
        (clean(trajectory.group_id),),
    )
    return Seen(trajectory=trajectory, success=success, reward=reward, trained=trained, group=group)
