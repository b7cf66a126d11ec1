"""Check 17: an episode survives the record."""

import json
import tempfile
from dataclasses import fields
from pathlib import Path

from agentgym.check.report import Failed
from agentgym.check.subject import Subject
from agentgym.store.episodes import EpisodeWriter, read_episodes
from agentgym.types import Trajectory


async def check_record(subject: Subject) -> str:
    """Write episodes as a run does, and read them back."""
    played = await subject.rollouts(await subject.some_tasks(), "scripted:random")
    with tempfile.TemporaryDirectory(prefix="agentgym-check-") as folder:
        writer = EpisodeWriter(Path(folder))
        for trajectory in played:
            writer.append(trajectory)
        writer.close()
        found = list(read_episodes(Path(folder)))
    for before, after in zip(played, found, strict=True):
        if name := _difference(before, after):
            raise Failed(
                f"task {before.task_id}: `{name}` is another after writing and reading",
                hint="use plain JSON values (no tuples, no numbers as keys) in tasks and rewards",
            )
    return f"{len(found)} episodes"


def _difference(before: Trajectory, after: Trajectory) -> str | None:
    for each in fields(Trajectory):
        if getattr(before, each.name) != getattr(after, each.name):
            mine, its = (json.dumps(getattr(t, each.name), default=repr) for t in (before, after))
            return each.name if mine != its else None
    return None
