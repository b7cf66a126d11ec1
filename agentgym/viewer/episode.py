"""One episode as JSON: its messages and steps, and what was learnt about each; without tokens."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsFloat

from agentgym.errors import StoreError, boundary
from agentgym.store.frames import Head, read_record
from agentgym.viewer.columns import keep_lengths
from agentgym.viewer.entries import clean, is_scored
from agentgym.viewer.index import Index
from agentgym.viewer.learnt import Learnt, read_learnt
from agentgym.viewer.noted import Noted, Values, credit_labels, read_noted
from agentgym.viewer.panels import has_panels
from agentgym.viewer.scenes import Scenes, read_plain
from agentgym.viewer.tagging import see
from agentgym.viewer.tags import tags_of

LONGEST = 1_000_000
"""Characters of a text that are shown; the record has all of it."""

PARTS = ("said", "ledger", "ribbon", "tags")
"""What takes longer to find, or to send, than all the rest of an episode."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """An episode, and everything that the run says of it."""

    body: Mapping[str, Any]
    """The line of its record."""
    is_scored: bool
    """Whether it has an outcome."""
    noted: Noted | None
    learnt: Learnt
    credits: Sequence[str] = ()
    """Estimators that notes have of it, besides the one trained on."""
    notes: Sequence[Mapping[str, str]] = ()
    """Labels that people gave it, oldest first; the last one counts."""
    tags: Sequence[Mapping[str, Any]] = ()
    trouble: str | None = None
    """Why what was noted is not shown, though there is something."""
    with_said: bool = True
    """Whether steps tell what was said at them; of a long episode that is nearly all of it."""

    def to_json(self) -> Json:
        """Return it as the server tells it.

        Raises:
            StoreError: its record says what cannot be.
        """
        with boundary(StoreError, f"reading the episode {self.body.get('id')}"):
            return self._told()

    def _told(self) -> Json:
        body = self.body
        return {
            **{key: body.get(name) for key, name in _PLAIN.items()},
            "outcome": _number(body.get("outcome")) if self.is_scored else None,
            "reason": _text(body.get("reason")),
            "task": _capped(body.get("task")),
            "prompt": _capped(body["prompt"]),
            "tools": _capped(body["tools"]),
            "steps": [self._step(index, step) for index, step in enumerate(body["steps"])],
            "segments": [_segment(each) for each in body["segments"]],
            "update": self._update(),
            "ledger": self.learnt.ledger,
            "ribbon": self.learnt.ribbon,
            "credits": list(self.credits),
            "notes": list(self.notes),
            "label": self.notes[-1]["label"] or None if self.notes else None,
            "tags": list(self.tags),
            "panels": has_panels(body),
            "trouble": self.trouble or self.learnt.trouble,
        }

    def _update(self) -> Json | None:
        if self.noted is None:
            return None
        return {"step": self.noted.step, "version": self.noted.version, "gates": self._gates}

    @property
    def _gates(self) -> dict[str, float | None]:
        if self.noted is None:
            return {}
        return {name: _number(values[0]) for name, values in self.noted.parts("gate").items()}

    def _step(self, index: int, step: Mapping[str, Any]) -> Json:
        completion = step.get("completion") or {}
        segment, first, stop = completion.get("tokens") or (None, 0, 0)
        return {
            "index": index,
            **(_said(step) if self.with_said else {}),
            "reward_terms": step.get("reward_terms") or {},
            **self._credit(index),
            "timed_out": bool(step.get("timed_out")),
            "timings": step.get("timings") or {},
            "usage": step.get("usage") or {},
            "agent": step.get("agent"),
            "finish": completion.get("finish_reason"),
            "segment": segment,
            "tokens": [first, stop] if completion else None,
            "versions": completion.get("versions") or [],
        }

    def _credit(self, index: int) -> Json:
        """Return what the training made of a step; None where it made nothing."""
        if self.noted is None:
            return {"shaped": {}, "gates": {}, "reward": None, "advantage": None}
        found = self._columns
        return {
            "shaped": {name: values[index] for name, values in found["shaped"].items()},
            "gates": found["gates"],
            "reward": found["rewards"][index],
            "advantage": found["advantages"][index],
        }

    @cached_property
    def _columns(self) -> Json:
        noted = self.noted
        assert noted is not None
        return {
            "shaped": {name: _numbers(each) for name, each in noted.parts("shaped").items()},
            "gates": self._gates,
            "rewards": _numbers(noted.per_step("rewards"), noted.num_steps),
            "advantages": _numbers(noted.per_step("advantages"), noted.num_steps),
        }


def show_episode(
    index: Index,
    scenes: Scenes,
    head: Head,
    *,
    success: float = 1.0,
    parts: Collection[str] = PARTS,
) -> Shown:
    """Open an episode, without its tokens; those of `PARTS` that are not asked for are left out or empty.

    Raises:
        StoreError: its record is broken.
    """
    body = read_record(head, only=()).body
    with boundary(StoreError, f"{head.shard}: reading the episode at byte {head.offset}"):
        name, count = str(body["id"]), len(body["steps"])
    keep_lengths(head, body)
    noted, trouble = None, None
    try:
        noted = read_noted(index, name)
        if noted is not None and noted.num_steps != count:
            raise StoreError(
                f"optimiser step {noted.step} used {noted.num_steps} steps of this episode, which has {count}"
            )
    except StoreError as error:
        noted, trouble = None, str(error)
    return Shown(
        body=body,
        is_scored=is_scored(head),
        noted=noted,
        learnt=read_learnt(scenes, head, noted, parts=parts),
        credits=credit_labels(index, name),
        notes=_labels(index, name),
        tags=show_tags(index, head, success=success) if "tags" in parts else (),
        trouble=trouble,
        with_said="said" in parts,
    )


def show_tags(index: Index, head: Head, *, success: float = 1.0) -> list[Json]:
    """Return the tags of an episode, with what they saw.

    Raises:
        StoreError: its record is broken.
    """
    trajectory = read_plain(head)
    with boundary(StoreError, f"{head.shard}: reading the episode at byte {head.offset}"):
        seen = see(index, trajectory.id, trajectory, success=success)
        return [each.to_json() for each in tags_of(seen)]


def _labels(index: Index, name: str) -> list[dict[str, str]]:
    sql = "SELECT label, text FROM label WHERE id = ? ORDER BY time, number"
    return [{"label": label, "text": text} for label, text in index.query(sql, (clean(name),))]


_PLAIN = {
    "id": "id",
    "group": "group_id",
    "member": "member",
    "attempt": "attempt",
    "seed": "seed",
    "policy": "policy",
    "end": "end",
    "seconds": "seconds",
    "drift": "drift",
    "parent": "parent_id",
    "fork_step": "fork_step",
}


def _said(step: Mapping[str, Any]) -> Json:
    return {
        "message": _capped(step["message"]),
        "replies": _capped(step["replies"]),
        "state": _capped(step.get("state_key")),
        "action": _capped(step.get("action_key")),
        "next_state": _capped(step.get("next_state_key")),
    }


def _segment(meta: Mapping[str, Any]) -> Json:
    return {"length": meta["num_tokens"], "parent": meta["parent"], "reason": meta["reason"]}


def _capped(value: Any) -> Any:
    """Cut the texts in a value, and say in them how much is left out."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        if all(type(each) is str and len(each) <= LONGEST for each in value.values()):
            return value  # most messages, of which there may be very many
        return {key: _capped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_capped(each) for each in value]
    return value


def _text(value: Any) -> str:
    text = str(value or "")
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n[{len(text) - LONGEST} more characters are in the record]"


def _numbers(values: Values | None, count: int = 0) -> list[float | None]:
    """Return a column as JSON values; of one that is not there, `count` times None."""
    if values is None:
        return [None] * count
    return [each if math.isfinite(each) else None for each in values.astype(float).tolist()]


def _number(value: Any) -> float | None:
    number = float(value) if isinstance(value, SupportsFloat) else math.nan
    return number if math.isfinite(number) else None
