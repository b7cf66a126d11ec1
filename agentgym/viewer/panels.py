"""What an environment drew of the states of an episode, some turns at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.errors import StoreError, boundary
from agentgym.panels import panel_to_json, panels_from_json
from agentgym.store.frames import Head, read_record

MOST_STATES = 100
"""States of one answer."""

Json = dict[str, Any]


def read_panels(head: Head, *, offset: int = 0, limit: int = MOST_STATES) -> Json:
    """Return a page of the states of an episode, `rows` of panels each, of `total`.

    The first state is that after reset; the state number t + 1 is that after step t.

    Raises:
        StoreError: the record is broken.
    """
    body = read_record(head, only=()).body
    with boundary(StoreError, f"{head.shard}: reading the panels at byte {head.offset}"):
        states = [body, *body["steps"]]
        stop = min(offset + min(limit, MOST_STATES), len(states))
        return {"total": len(states), "rows": [_drawn(each) for each in states[offset:stop]]}


def has_panels(body: Mapping[str, Any]) -> bool:
    """Whether anything was drawn of an episode."""
    return any(each.get("panels") for each in (body, *body["steps"]))


def _drawn(state: Mapping[str, Any]) -> Sequence[Json]:
    return [panel_to_json(each) for each in panels_from_json(state.get("panels") or ())]
