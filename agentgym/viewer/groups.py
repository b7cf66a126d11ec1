"""A group on screen: its rollouts side by side or as a map, with what an estimator gave them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentgym.errors import AgentGymError, StoreError
from agentgym.types import Step, Trajectory
from agentgym.viewer.align import align
from agentgym.viewer.entries import clean
from agentgym.viewer.index import Index
from agentgym.viewer.lens import Lens, look
from agentgym.viewer.listing import SEEN
from agentgym.viewer.scene import TRAINED
from agentgym.viewer.scenes import Scenes, read_plain
from agentgym.viewer.states import map_states

MOST_MEMBERS = 64
"""Rollouts that are laid side by side; a group of more is cut."""

_MOST_TEXT = 200  # characters of an action in a cell

Json = dict[str, Any]


class Asking(NamedTuple):
    """Which estimator is asked, as `name,key=value`."""

    credit: str = TRAINED
    minus: str | None = None
    shaping: str = TRAINED


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupShown:
    """The rollouts of a group, member by member, and one estimator's view of them."""

    group: str
    rows: Sequence[Json]
    """What the index says of each."""
    members: Sequence[Trajectory]
    """The same, opened without tokens."""
    lens: Lens | None
    trouble: Sequence[str]
    """What could not be read or computed, and why."""
    total: int
    """Members of the group; those above `MOST_MEMBERS` are not here."""
    parent: tuple[Json, Trajectory] | None = None
    """What all of them go on from, if that is one place: it stands beside them, but is no member."""

    def to_json(self) -> Json:
        """Return it as JSON values, aligned; a parent comes first."""
        first = [] if self.parent is None else [self.parent]
        columns = [*first, *zip(self.rows, self.members, strict=True)]
        return {
            **self._head(),
            "members": [
                _column(row, each, is_parent=place < len(first))
                for place, (row, each) in enumerate(columns)
            ],
            **align([each for _, each in columns]).to_json(),
        }

    def states(self) -> Json:
        """Return it as JSON values, drawn as a map of states."""
        drawn = map_states(
            self.members,
            returns=[self._return_of(*each) for each in zip(self.rows, self.members, strict=True)],
            advantages=self.lens.steps if self.lens else None,
        )
        return {**self._head(), "members": list(self.rows), **drawn.to_json()}

    def _return_of(self, row: Json, member: Trajectory) -> float | None:
        """Return what the lens tells, or else the outcome; a fault has neither."""
        if self.lens is not None:
            return self.lens.returns.get(member.id)
        return None if member.end == "error" else row["outcome"]

    def _head(self) -> Json:
        return {
            "group": self.group,
            "task": self.rows[0]["task"] if self.rows else "",
            "step": next((row["step"] for row in self.rows if row["step"] is not None), None),
            "of": self.total,
            "forked": _forked(self.rows),
            "credit": lens_json(self.lens) if self.lens else None,
            "trouble": list(self.trouble),
        }


def show_group(index: Index, scenes: Scenes, group: str, asking: Asking) -> GroupShown | None:
    """Open a group; None: there is none of this name.

    Rollouts whose record is broken are left out and told, and so is an estimator that cannot be
    asked, unless the run itself did not use it.

    Raises:
        ConfigError: there is no such estimator, or it cannot be asked here.
    """
    found = _rows(index, group)
    if not found:
        return None
    rows, members, trouble = [], [], []
    for row in found[:MOST_MEMBERS]:
        try:
            head = index.head(row["id"])
            members += [read_plain(head)] if head else []
            rows += [row] if head else []
        except StoreError as error:
            trouble.append(str(error))
    lens = None
    try:
        lens = look(scenes.of_group(group), [each.id for each in members], **asking._asdict())
    except AgentGymError as error:
        if asking != Asking():
            raise
        trouble.append(str(error))
    return GroupShown(
        group=group,
        rows=rows,
        members=members,
        lens=lens,
        trouble=trouble,
        total=len(found),
        parent=_parent(index, rows),
    )


def lens_json(lens: Lens) -> Json:
    """Return a lens as JSON values, its episodes by the ids that lists have."""
    found = lens.to_json()
    by_id = {key: {clean(k): v for k, v in found[key].items()} for key in ("returns", "steps")}
    return {**found, **by_id}


def action_text(step: Step) -> str:
    """Return what was done in a step, for a cell: its calls, or else the beginning of what was said."""
    calls = [f"{call.name}({call.arguments})" for call in step.message.tool_calls]
    return ("; ".join(calls) or step.message.content)[:_MOST_TEXT]


_COLUMNS = (
    "id", "member", "attempt", "task", "end", "reason", "outcome", "reward", "step", "label",
    "parent", "fork_step",
)  # fmt: skip


def _rows(index: Index, name: str, *, by: str = "grp") -> list[Json]:
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    sql = f"SELECT {columns} FROM {SEEN} WHERE {by} = ? ORDER BY member, row LIMIT 10000"
    return [dict(zip(_COLUMNS, row, strict=True)) for row in index.query(sql, (clean(name),))]


def _column(row: Json, member: Trajectory, *, is_parent: bool) -> Json:
    actions = [action_text(step) for step in member.steps]
    return {**row, "steps": len(actions), "actions": actions, "is_parent": is_parent}


def _forked(rows: Sequence[Json]) -> Json | None:
    """Return from where all of them go on, if that is one place."""
    places = {(row["parent"], row["fork_step"]) for row in rows}
    ((parent, turn), *others) = places or {(None, None)}
    return None if others or parent is None else {"parent": parent, "turn": turn}


def _parent(index: Index, rows: Sequence[Json]) -> tuple[Json, Trajectory] | None:
    """Open what all of them go on from; None: they are no forks of one place, or it is lost."""
    forked = _forked(rows)
    found = _rows(index, forked["parent"], by="id") if forked else []
    head = index.head(found[0]["id"]) if found else None
    try:
        return (found[0], read_plain(head)) if head else None
    except StoreError:
        return None  # its own page says what is wrong with it
