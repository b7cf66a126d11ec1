"""Lists of episodes and groups, from the index alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import equal_returns
from agentgym.viewer.filter import KEYS, Where
from agentgym.viewer.index import Index

MOST_ROWS = 1000
"""Episodes of one answer."""

MOST_GROUPS = 200
"""Groups of one answer."""

SEEN = """(
    SELECT e.*, u.step AS step, u.reward AS reward,
           (SELECT nullif(l.label, '') FROM label l WHERE l.id = e.id
            ORDER BY l.time DESC, l.number DESC LIMIT 1) AS label
    FROM episode e LEFT JOIN used u ON u.id = e.id
) seen"""
"""Episodes with what was learnt about them."""

_SHOWN = (
    "id", "group", "member", "task", "env", "split", "end", "reason", "outcome", "reward", "turns",
    "tokens", "version_min", "version_max", "step", "label",
    "parent", "fork_step",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the episodes that a filter lets through."""

    total: int
    rows: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return it as the server tells it."""
        return {"total": self.total, "rows": self.rows}


def list_episodes(index: Index, where: Where, *, sort: str, offset: int, limit: int) -> Page:
    """Return the episodes from `offset` on, at most `limit`.

    Raises:
        ConfigError: nothing can be sorted by this.
    """
    ((total,),) = index.query(f"SELECT count(*) FROM {SEEN} WHERE {where.sql}", where.values)
    columns, order = ", ".join(KEYS[name].column for name in _SHOWN), _order(sort)
    chosen = f"SELECT row FROM {SEEN} WHERE {where.sql} ORDER BY {order} LIMIT ? OFFSET ?"
    found = index.query(  # first which, then what: most columns cost a look into another table
        f"SELECT {columns} FROM {SEEN} WHERE row IN ({chosen}) ORDER BY {order}",
        (*where.values, min(limit, MOST_ROWS), offset),
    )
    rows = [dict(zip(_SHOWN, row, strict=True)) for row in found]
    return Page(total, [row | {"tags": tags_of(index, row["id"])} for row in rows])


def tags_of(index: Index, name: str) -> list[str]:
    """Return the tags of an episode."""
    return [tag for (tag,) in index.query("SELECT tag FROM tag WHERE id = ? ORDER BY tag", (name,))]


def grid(index: Index, where: Where, *, first: int, last: int) -> dict[str, Any]:
    """Return groups number `first` to before `last`, in the order of their first episodes.

    A cell has the reward that was trained on, or else the outcome.
    """
    last = min(last, first + MOST_GROUPS)
    if where == Where():
        ((total,),) = index.query("SELECT count(*) FROM team")
        chosen = index.query(
            "SELECT number, grp FROM team WHERE number > ? AND number <= ? ORDER BY number",
            (first, last),
        )
    else:
        inside = f"SELECT DISTINCT grp FROM {SEEN} WHERE {where.sql}"
        condition = f"FROM team WHERE grp IN ({inside})"
        ((total,),) = index.query(f"SELECT count(*) {condition}", where.values)
        chosen = index.query(
            f"SELECT number, grp {condition} ORDER BY number LIMIT ? OFFSET ?",
            (*where.values, max(0, last - first), first),
        )
    return {"total": total, "groups": [_group(index, name) for _, name in chosen]}


def members_of(index: Index, group: str) -> list[str]:
    """Return the ids of the episodes of a group, member by member."""
    found = index.query("SELECT id FROM episode WHERE grp = ? ORDER BY member, row", (group,))
    return [name for (name,) in found]


def _group(index: Index, name: str) -> dict[str, Any]:
    found = index.query(
        f'SELECT id, coalesce(reward, outcome), "end", task, step FROM {SEEN} '
        "WHERE grp = ? ORDER BY member, row LIMIT 1000",
        (name,),
    )
    paid = [reward for _, reward, end, *_ in found if end != "error"]
    one_group = np.zeros(len(paid), dtype=np.int64)
    return {
        "group": name,
        "task": found[0][3] if found else "",
        "step": next((step for *_, step in found if step is not None), None),
        "cells": [{"id": each[0], "reward": each[1], "end": each[2]} for each in found],
        "zero_variance": len(paid) > 1 and bool(equal_returns(np.array(paid), one_group)[0]),
    }


def _order(sort: str) -> str:
    name = sort.removeprefix("-")
    if not name:
        return "row DESC" if sort else "row"
    if name not in KEYS or name == "tag":
        raise ConfigError(f"nothing is sorted by {name!r}", hint=f"one of: {', '.join(KEYS)}")
    direction = "DESC" if sort.startswith("-") else "ASC"
    return f"{KEYS[name].column} {direction} NULLS LAST, row"
