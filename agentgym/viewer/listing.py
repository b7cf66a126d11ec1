"""Lists of episodes and groups, from the index alone."""

from collections.abc import Sequence
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
    "id", "group", "member", "attempt", "task", "env", "split", "end", "reason", "outcome", "reward",
    "turns", "tokens", "version_min", "version_max", "step", "label",
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
    order = f"SELECT row FROM {SEEN} WHERE {where.sql} ORDER BY {_order(sort)}"
    is_still = not where.wants_text and not where.wants_tags  # both are found in the background
    chosen = index.order(order, where.values, keep=is_still)
    rows = chosen[offset : offset + min(limit, MOST_ROWS)]
    return Page(len(chosen), _lines(index, rows))


def _lines(index: Index, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return what a list shows of some rows, in their order."""
    columns = ", ".join(KEYS[name].column for name in _SHOWN)
    marks = ", ".join("?" * len(rows))
    found = index.query(f"SELECT row, {columns} FROM {SEEN} WHERE row IN ({marks})", list(rows))
    lines = {row: dict(zip(_SHOWN, values, strict=True)) for row, *values in found}
    tags = _tags(index, rows)
    return [lines[row] | {"tags": tags.get(row, [])} for row in rows if row in lines]


def _tags(index: Index, rows: Sequence[int]) -> dict[int, list[str]]:
    marks = ", ".join("?" * len(rows))
    found: dict[int, list[str]] = {}
    for row, tag in index.query(
        f"SELECT e.row, t.tag FROM episode e JOIN tag t ON t.id = e.id WHERE e.row IN ({marks})"
        " ORDER BY t.tag",
        list(rows),
    ):
        found.setdefault(row, []).append(tag)
    return found


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
    paid = [reward for _, reward, end, *_ in found if end != "error" and reward is not None]
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
