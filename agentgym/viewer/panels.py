"""What an environment drew of the states of an episode, some turns at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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
    states = _states(head)
    rows = states[offset:][: min(limit, MOST_STATES)]
    return {"total": len(states), "rows": [_drawn(each, head) for each in rows]}


def all_panels(head: Head) -> Iterator[Sequence[Json]]:
    """Yield the panels of one state after the other.

    Raises:
        StoreError: the record is broken.
    """
    for state in _states(head):
        yield _drawn(state, head)


def has_panels(body: Mapping[str, Any]) -> bool:
    """Whether anything was drawn of an episode."""
    return any(each.get("panels") for each in (body, *body["steps"]))


def _states(head: Head) -> Sequence[Mapping[str, Any]]:
    body = read_record(head, only=()).body
    with _reading(head):
        return [body, *body["steps"]]


def _drawn(state: Mapping[str, Any], head: Head) -> Sequence[Json]:
    with _reading(head):
        return [panel_to_json(each) for each in panels_from_json(state.get("panels") or ())]


def _reading(head: Head) -> AbstractContextManager[None]:
    return boundary(StoreError, f"{head.shard}: reading the panels at byte {head.offset}")
