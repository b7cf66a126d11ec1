"""Two episodes of any runs side by side."""

from typing import Any

from agentgym.errors import ConfigError
from agentgym.store.frames import Head
from agentgym.types import Trajectory
from agentgym.viewer.align import align
from agentgym.viewer.entries import is_scored
from agentgym.viewer.groups import action_text
from agentgym.viewer.runs import OpenRun
from agentgym.viewer.scenes import read_plain

LONGEST = 20_000
"""Steps of an episode that is laid beside another one."""

Json = dict[str, Any]


def lay_beside(*chosen: tuple[OpenRun, Head]) -> Json:
    """Return episodes aligned on states and actions, as JSON values: `members`, `rows`, ...

    Raises:
        ConfigError: one is too long for it.
        StoreError: one cannot be read.
    """
    members = [read_plain(head) for _, head in chosen]
    for each in members:
        if len(each.steps) > LONGEST:
            raise ConfigError(f"{each.id[:80]!r} has {len(each.steps)} steps, at most {LONGEST}")
    told = [_member(*which, each) for which, each in zip(chosen, members, strict=True)]
    return {"members": told, **align(members).to_json()}


def _member(run: OpenRun, head: Head, trajectory: Trajectory) -> Json:
    return {
        "run": run.name,
        "id": trajectory.id,
        "member": trajectory.member,
        "task": trajectory.task.id,
        "end": trajectory.end,
        "outcome": trajectory.outcome if is_scored(head) else None,
        "reward": None,
        "steps": len(trajectory.steps),
        "actions": [action_text(step) for step in trajectory.steps],
    }
