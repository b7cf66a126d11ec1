"""Damage that a record can have, for those who look at damaged records. No check passes over it."""

from dataclasses import replace
from pathlib import Path

from agentgym.demo.cues import STEPS, Cue
from agentgym.store.episodes import FOLDER, SCHEMA
from agentgym.store.frames import read_heads, shards
from agentgym.types import Trajectory

STALE = f"train-{STEPS - 1:06d}-000.7.0"
"""Is trained on, though a part of it was sampled by the policy before."""
LOST = f"train-{STEPS - 1:06d}-002.7.0"
"""The tokens of its last turn stand in no segment, and so in no batch."""
DRIFTED = f"train-{STEPS - 1:06d}-003.7.0"
"""A token of its first turn stands in the stream as another one than was sampled."""


def spoil_cue(cue: Cue, name: str) -> Cue:
    """Return the cue of an episode of a damaged run."""
    return replace(cue, switches_at=1) if name == STALE else cue


def spoil(trajectory: Trajectory) -> None:
    """Put another token in the stream, or take a turn out of it, where this is the one to suffer."""
    if trajectory.id == DRIFTED:
        first = trajectory.segments[0].steps[0][1]
        trajectory.segments[0].token_ids[first] += 1
        trajectory.drift = 1
    if trajectory.id != LOST:
        return
    segment = trajectory.segments[-1]
    _, first, _ = segment.steps.pop()
    for column in (segment.token_ids, segment.sampled, segment.logprobs):
        del column[first:]


def tear(root: Path) -> None:
    """Leave half a record at the end of the episodes, as a killed process does."""
    shard = shards(root / FOLDER)[-1]
    head = next(read_heads(shard, schema=SCHEMA))
    data = shard.read_bytes()
    shard.write_bytes(data + data[head.offset : (head.offset + head.stop) // 2])
