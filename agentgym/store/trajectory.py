"""A trajectory as a record, and back: text in the JSON line, tokens in columns.

Every token is stored once. The completion of a step points into its segment, as `[segment,
first, stop]`; where no segment holds exactly its tokens they are kept apart, under `[null,
first, stop]`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import StoreError
from agentgym.panels import Panel, panel_to_json, panels_from_json
from agentgym.store.columns import Columns
from agentgym.store.jsonline import is_plain, quick_json, to_json
from agentgym.types import (
    Completion,
    Message,
    Segment,
    Step,
    Task,
    Timings,
    ToolSpec,
    Trajectory,
)

Place = tuple[int | None, int, int]

_COMPOUND = ("task", "prompt", "tools", "steps", "segments", "panels")
_FLAT = tuple(each.name for each in fields(Trajectory) if each.name not in _COMPOUND)
_TASK = tuple(each.name for each in fields(Task))
_INT32 = np.iinfo(np.int32)


def to_head(trajectory: Trajectory) -> dict[str, Any]:
    """Return what a list of episodes shows."""
    completions = [step.completion for step in trajectory.steps if step.completion]
    versions = [version for each in completions for _, version in each.versions]
    forked = {
        "parent_id": trajectory.parent_id,
        "fork_step": trajectory.fork_step,
        "shared": trajectory.num_shared or None,
    }
    return {
        "id": trajectory.id,
        "group_id": trajectory.group_id,
        "member": trajectory.member,
        "attempt": trajectory.attempt,
        "task_id": trajectory.task.id,
        "env": trajectory.task.env,
        "split": trajectory.task.split,
        "end": trajectory.end,
        "reason": trajectory.reason,
        "outcome": trajectory.outcome,
        **({} if any(step.reward_terms for step in trajectory.steps) else {"unrewarded": True}),
        "turns": len(trajectory.steps),
        "tokens": trajectory.num_sampled,
        "version_min": min(versions, default=None),
        "version_max": max(versions, default=None),
        **{name: value for name, value in forked.items() if value is not None},
    }


def to_body(trajectory: Trajectory) -> tuple[dict[str, Any], Columns]:
    """Return the JSON line and the columns of a trajectory.

    Raises:
        StoreError: a token or a log-probability cannot be stored as it is.
    """
    places, apart = _places(trajectory)
    body = {
        **{name: getattr(trajectory, name) for name in _FLAT},
        "env": trajectory.task.env,
        "task": {name: getattr(trajectory.task, name) for name in _TASK},
        "prompt": [message.to_openai() for message in trajectory.prompt],
        "tools": [tool.to_openai()["function"] for tool in trajectory.tools],
        "steps": [
            _step_to_json(step, place) for step, place in zip(trajectory.steps, places, strict=True)
        ],
        "segments": [_segment_to_json(segment) for segment in trajectory.segments],
        "outcome": trajectory.outcome,
        **_drawn(trajectory.panels),
    }
    return body, _columns(trajectory.segments, apart)


def to_line(body: Mapping[str, Any]) -> bytes:
    """Encode what `to_body` gave, quickly where task and tools hold what JSON has.

    Raises:
        StoreError: it holds what has no place in JSON.
    """
    line = quick_json(body) if is_plain(body["task"]) and is_plain(body["tools"]) else None
    return line or to_json(body)


def from_body(body: Mapping[str, Any], columns: Columns) -> Trajectory:
    """Rebuild a trajectory; fields that this version does not know are ignored."""
    segments = _segments(body["segments"], columns)
    apart = Segment(
        token_ids=_list(columns, "apart_ids"), logprobs=_list(columns, "apart_logprobs")
    )
    return Trajectory(
        **{
            **_known(Trajectory, body),
            "task": Task(**_known(Task, body["task"])),
            "prompt": _messages(body["prompt"]),
            "tools": tuple(ToolSpec(**_known(ToolSpec, tool)) for tool in body["tools"]),
            "steps": [_step_from_json(step, segments, apart) for step in body["steps"]],
            "segments": segments,
            "panels": panels_from_json(body.get("panels", ())),
        }
    )


def _places(trajectory: Trajectory) -> tuple[list[Place | None], list[Completion]]:
    """Find the tokens of each completion in the segments; return also those found nowhere."""
    ranges: dict[int, list[tuple[int, int, int]]] = {}
    for number, segment in enumerate(trajectory.segments):
        for owner, first, stop in segment.steps:
            ranges.setdefault(owner, []).append((number, first, stop))
    places: list[Place | None] = []
    apart: list[Completion] = []
    used = 0
    for index, step in enumerate(trajectory.steps):
        place: Place | None = None
        if completion := step.completion:
            holding = (
                each
                for each in ranges.get(index, ())
                if _holds(trajectory.segments[each[0]], each[1], each[2], completion)
            )
            place = next(holding, None)
            if place is None:
                place = (None, used, used + len(completion.token_ids))
                used = place[2]
                apart.append(completion)
        places.append(place)
    return places, apart


def _holds(segment: Segment, first: int, stop: int, completion: Completion) -> bool:
    return (
        first >= 0
        and segment.token_ids[first:stop] == list(completion.token_ids)
        and segment.logprobs[first:stop] == list(completion.logprobs)
    )


def _columns(segments: Sequence[Segment], apart: Sequence[Completion]) -> Columns:
    streams: list[Segment | Completion] = [*segments, *apart]
    if any(len(each.token_ids) != len(each.logprobs) for each in streams) or any(
        len(each.token_ids) != len(each.sampled) for each in segments
    ):
        raise StoreError("token_ids, logprobs and sampled of a trajectory differ in length")
    columns: dict[str, NDArray[Any]] = {}
    if segments:
        flags = list(chain.from_iterable(each.sampled for each in segments))
        ranges = chain.from_iterable(each.steps for each in segments)
        columns["token_ids"] = _int32("token_ids", (each.token_ids for each in segments))
        columns["sampled"] = np.array(flags, dtype=np.bool_)
        columns["logprobs"] = _float32("logprobs", (each.logprobs for each in segments))
        columns["step_ranges"] = _int32("steps", ranges)
    if apart:
        columns["apart_ids"] = _int32("token_ids", (each.token_ids for each in apart))
        columns["apart_logprobs"] = _float32("logprobs", (each.logprobs for each in apart))
    return columns


def _int32(name: str, parts: Iterable[Iterable[int]]) -> NDArray[np.int32]:
    try:
        column = np.array(list(chain.from_iterable(parts)), dtype=np.int64)
    except OverflowError as error:
        raise StoreError(f"{name} are out of range: {error}") from error
    if column.size and (column.min() < _INT32.min or column.max() > _INT32.max):
        raise StoreError(f"{name} are out of range: {column.min()} to {column.max()}")
    return column.astype(np.int32)


def _float32(name: str, parts: Iterable[Iterable[float]]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        column = np.array(list(chain.from_iterable(parts)), dtype=np.float64).astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(column)).tolist():
        raise StoreError(
            f"{name}[{bad[0]}] is {column[bad[0]]}; a record holds finite numbers only",
            hint="look at the engine: it sampled a token of probability 0, or its weights broke",
        )
    return column


def _segment_to_json(segment: Segment) -> dict[str, Any]:
    return {
        "num_tokens": len(segment.token_ids),
        "num_ranges": len(segment.steps),
        "parent": segment.parent,
        "reason": segment.reason,
    }


def _step_to_json(step: Step, place: Place | None) -> dict[str, Any]:
    timings, completion = step.timings, step.completion
    values: dict[str, Any] = {
        "agent": step.agent,
        "message": step.message.to_openai(),
        "replies": [reply.to_openai() for reply in step.replies],
        "reward_terms": step.reward_terms,
        "state_key": step.state_key,
        "next_state_key": step.next_state_key,
        "action_key": step.action_key,
        "timed_out": step.timed_out,
        "usage": step.usage,
        "timings": {
            "generate_s": timings.generate_s,
            "env_s": timings.env_s,
            "started_s": timings.started_s,
            "wait_s": timings.wait_s,
        },
        "completion": completion
        and {
            "num_tokens": len(completion.token_ids),
            "finish_reason": completion.finish_reason,
            "versions": completion.versions,
            "tokens": place,
        },
    }
    return values | _drawn(step.panels) if step.panels else values


def _step_from_json(step: Mapping[str, Any], segments: list[Segment], apart: Segment) -> Step:
    stored = step.get("completion")
    completion = None
    if stored is not None:
        number, first, stop = stored["tokens"]
        stream = apart if number is None else segments[number]
        completion = Completion(
            token_ids=tuple(stream.token_ids[first:stop]),
            logprobs=tuple(stream.logprobs[first:stop]),
            finish_reason=stored["finish_reason"],
            versions=tuple((first, version) for first, version in stored["versions"]),
        )
    return Step(
        **{
            **_known(Step, step),
            "message": Message.from_openai(step["message"]),
            "replies": _messages(step["replies"]),
            "timings": Timings(**_known(Timings, step["timings"])),
            "completion": completion,
            "panels": panels_from_json(step.get("panels", ())),
        }
    )


def _segments(metas: Sequence[Mapping[str, Any]], columns: Columns) -> list[Segment]:
    token_ids = _list(columns, "token_ids")
    sampled = _list(columns, "sampled")
    logprobs = _list(columns, "logprobs")
    flat = iter(_list(columns, "step_ranges"))
    ranges = list(zip(flat, flat, flat, strict=True))
    segments = []
    token = row = 0
    for meta in metas:
        tokens, rows = token + meta["num_tokens"], row + meta["num_ranges"]
        segments.append(
            Segment(
                token_ids=token_ids[token:tokens],
                sampled=sampled[token:tokens],
                logprobs=logprobs[token:tokens],
                steps=ranges[row:rows],
                parent=meta["parent"],
                reason=meta["reason"],
            )
        )
        token, row = tokens, rows
    return segments


def _drawn(panels: Iterable[Panel]) -> dict[str, Any]:
    """Return the key for panels, which most environments have none of."""
    found = [panel_to_json(each) for each in panels]
    return {"panels": found} if found else {}


def _messages(messages: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message.from_openai(message) for message in messages)


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: values[each.name] for each in fields(kind) if each.name in values}


def _list(columns: Columns, name: str) -> list[Any]:
    column = columns.get(name)
    return [] if column is None else column.tolist()
