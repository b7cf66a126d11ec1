"""Episodes on disk: `runs/<run>/episodes/<writer>-00001.jsonl.zst`, one record each."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from agentgym.errors import StoreError, boundary
from agentgym.store.address import address_of
from agentgym.store.frames import (
    Head,
    OnBroken,
    Record,
    read_heads as read_frame_heads,
    read_record,
    read_records,
    shards,
    skipping,
)
from agentgym.store.trajectory import from_body, to_body, to_head, to_line
from agentgym.store.writer import ROLL_BYTES, ShardWriter
from agentgym.types import End, Trajectory

SCHEMA = "agentgym.episodes/1"
FOLDER = "episodes"


IMPORTER = "import"
"""The writer of episodes that other programs recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeHead:
    """What a list of episodes shows; `read_episode` opens it."""

    id: str
    group_id: str
    member: int
    attempt: int
    task_id: str
    env: str
    split: str
    end: End
    reason: str
    outcome: float
    turns: int
    tokens: int
    """Sampled by the policy."""
    version_min: int | None
    """The oldest policy version that sampled a token; None when no token was sampled."""
    version_max: int | None
    parent_id: str | None = None
    """The episode from whose middle it goes on."""
    fork_step: int | None = None
    """From which of its steps; None: it began at the beginning."""
    frame: Head
    """Where it is: `frame.shard` and `frame.offset`."""


class EpisodeWriter(ShardWriter):
    """Appends trajectories to a run. A restarted writer goes on in another file."""

    def __init__(
        self,
        run_dir: str | Path,
        *,
        writer: str = "rollout",
        roll_bytes: int = ROLL_BYTES,
        pid: int | None = None,
    ) -> None:
        folder = Path(run_dir) / FOLDER
        super().__init__(folder, writer=writer, schema=SCHEMA, roll_bytes=roll_bytes, pid=pid)

    def append(self, trajectory: Trajectory) -> None:
        """Write a trajectory whole, or not at all. A process killed after this loses nothing.

        Raises:
            StoreError: a value cannot be stored (a NaN, no JSON), or the disk is full.
        """
        try:
            body, columns = to_body(trajectory)
            self.write(to_head(trajectory), to_line(body), columns)
        except StoreError as error:
            place = address_of(self._folder.parent, trajectory.id)
            raise StoreError(f"{place}: {error}", hint=error.hint) from error


def read_episodes(run_dir: str | Path) -> Iterator[Trajectory]:
    """Yield every whole episode of a run, shard by shard, in the order of writing.

    Raises:
        StoreError: there is no such directory, or a shard is of a newer version.
    """
    for path in _shards(run_dir):
        for record in read_records(path, schema=SCHEMA):
            yield _trajectory(record)


def read_heads(run_dir: str | Path, *, on_broken: OnBroken | None = None) -> Iterator[EpisodeHead]:
    """Yield the heads of every whole episode, without decompressing any.

    A shard that cannot be read is told to `on_broken` and left out; None: it is an error.

    Raises:
        StoreError: there is no such directory, or a shard is of a newer version.
    """
    for path in _shards(run_dir):
        with skipping(on_broken):
            for frame in read_frame_heads(path, schema=SCHEMA):
                yield episode_head(frame)


def episode_head(frame: Head) -> EpisodeHead:
    """Return what the head of a record says.

    Raises:
        StoreError: it is no head of an episode.
    """
    known = {each.name for each in fields(EpisodeHead)}
    with boundary(StoreError, f"{frame.shard}: reading the head at byte {frame.offset}"):
        values = {name: value for name, value in frame.fields.items() if name in known}
        return EpisodeHead(**{**values, "frame": frame})


def read_episode(head: EpisodeHead) -> Trajectory:
    """Open one episode.

    Raises:
        StoreError: its record is broken.
    """
    return _trajectory(read_record(head.frame))


def find_episode(run_dir: str | Path, name: str) -> EpisodeHead:
    """Find an episode by its id, or by a beginning that no other id has.

    Raises:
        StoreError: there is none, or several begin like this.
    """
    heads = {head.id: head for head in read_heads(run_dir)}
    if name in heads:
        return heads[name]
    matches = [each for each in heads if each.startswith(name)] if name else []
    if len(matches) == 1:
        return heads[matches[0]]
    if matches:
        hint = f"write more of it: {', '.join(matches[:5])}{', ...' if matches[5:] else ''}"
        raise StoreError(f"{len(matches)} episodes of {run_dir} begin with {name!r}", hint=hint)
    close = difflib.get_close_matches(name, heads, n=1) or list(heads)[:1]
    hint = f"did you mean {close[0]!r}?" if close else "this run has no whole episode"
    raise StoreError(f"no episode {name!r} in {run_dir}", hint=hint)


def _shards(run_dir: str | Path) -> list[Path]:
    root = Path(run_dir)
    if not root.is_dir():
        raise StoreError(f"no run directory {root}")
    return shards(root / FOLDER)


def _trajectory(record: Record) -> Trajectory:
    head = record.head
    with boundary(StoreError, f"{head.shard}: reading the episode at byte {head.offset}"):
        return from_body(record.body, record.columns)
