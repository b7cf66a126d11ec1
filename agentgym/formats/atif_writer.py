"""Writing ATIF: a document a line, so that the file of one episode is a document."""

import json
from typing import Any, BinaryIO

from agentgym.formats.atif import VERSION
from agentgym.formats.atif_ours import (
    OURS,
    OurMessage,
    OurStep,
    OurTask,
    OurTimings,
    OurTrajectory,
)
from agentgym.formats.reader import Part
from agentgym.formats.writer import Writer, to_line
from agentgym.panels import panel_to_json
from agentgym.types import Message, Segment, Step, ToolCall, Trajectory
from agentgym.version import __version__

_SOURCES = {"system": "system", "user": "user", "tool": "user", "assistant": "agent"}


class AtifWriter(Writer):
    """Writes a document a line.

    `prompts`: also which tokens each step was shown, all of them again at each step, as the
    format wants them; the file then grows with the square of an episode.
    """

    def __init__(self, file: BinaryIO, *, prompts: bool = False) -> None:
        self._file = file
        self._prompts = prompts

    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode; one without a message cannot be said in ATIF."""
        if not trajectory.prompt and not trajectory.steps:
            return "without a message"
        self._file.write(to_line(to_atif(trajectory, prompts=self._prompts)))
        return None


def to_atif(trajectory: Trajectory, *, prompts: bool = False) -> dict[str, Any]:
    """Return an episode as an ATIF document; what ATIF has no place for stands in `extra`."""
    shown = _shown(trajectory.segments) if prompts else {}
    streams = [_stream(segment) for segment in trajectory.segments]
    steps = [_prompt_step(message) for message in trajectory.prompt]
    steps += [_step(step, shown.get(index)) for index, step in enumerate(trajectory.steps)]
    agent: dict[str, Any] = {"name": OURS, "version": __version__}
    if trajectory.policy:
        agent["model_name"] = trajectory.policy
    if trajectory.tools:
        agent["tool_definitions"] = [tool.to_openai() for tool in trajectory.tools]
    return {
        "schema_version": VERSION,
        "session_id": trajectory.group_id,
        "trajectory_id": trajectory.id,
        "agent": agent,
        "steps": [{"step_id": number} | step for number, step in enumerate(steps, 1)],
        "final_metrics": {
            "total_steps": len(steps),
            "total_completion_tokens": trajectory.num_sampled,
        },
        "extra": {OURS: _root(trajectory) | ({"streams": streams} if prompts else {})},
    }


def _root(trajectory: Trajectory) -> dict[str, Any]:
    return _fields(OurTrajectory, trajectory) | {
        "task": _fields(OurTask, trajectory.task),
        "prompt": len(trajectory.prompt),
        "panels": [panel_to_json(each) for each in trajectory.panels],
    }


def _stream(segment: Segment) -> dict[str, Any]:
    spoken = max((stop for _, _, stop in segment.steps), default=0)
    return {
        "turns": len(segment.steps),
        "parent": segment.parent,
        "reason": segment.reason,
        "rest": segment.token_ids[spoken:],
    }


def _prompt_step(message: Message) -> dict[str, Any]:
    step: dict[str, Any] = {"source": _SOURCES[message.role], "message": message.content}
    if message.role == "assistant":
        step["is_copied_context"] = True
        step |= _calls(message)
    elif message.role == "tool" or message.tool_call_id is not None:
        step["extra"] = {OURS: _fields(OurMessage, message)}
    return step


def _step(step: Step, shown: list[int] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"source": "agent", "message": step.message.content}
    found |= _calls(step.message)
    known = {call.id for call in step.message.tool_calls}
    if step.replies:
        found["observation"] = {"results": [_result(reply, known) for reply in step.replies]}
    if metrics := _metrics(step, shown):
        found["metrics"] = metrics
    found["extra"] = {OURS: _extra(step)}
    return found


def _calls(message: Message) -> dict[str, Any]:
    calls = [_call(call) for call in message.tool_calls]
    return {"tool_calls": calls} if calls else {}


def _call(call: ToolCall) -> dict[str, Any]:
    """Return a call; arguments are an object in ATIF, so the text of the model may stand beside."""
    arguments = _object(call.arguments)
    found = {"tool_call_id": call.id, "function_name": call.name, "arguments": arguments or {}}
    if arguments is None or json.dumps(arguments, ensure_ascii=False) != call.arguments:
        found["extra"] = {OURS: {"arguments": call.arguments}}
    return found


def _object(arguments: str) -> dict[str, Any] | None:
    try:
        found = json.loads(arguments, parse_constant=_refuse)
        json.dumps(found, allow_nan=False)  # 1e999 is read as an infinity
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _result(reply: Message, known: set[str]) -> dict[str, Any]:
    """Return an answer; it may name only a call of the same step, and its role is not told."""
    result: dict[str, Any] = {"content": reply.content}
    if reply.role == "tool" and reply.tool_call_id in known:
        result["source_call_id"] = reply.tool_call_id
    elif reply.role != "user" or reply.tool_call_id is not None:
        result["extra"] = {OURS: _fields(OurMessage, reply)}
    return result


def _metrics(step: Step, shown: list[int] | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name in ("prompt_tokens", "completion_tokens"):
        if name in step.usage:
            metrics[name] = int(step.usage[name])
    if "cost" in step.usage:
        metrics["cost_usd"] = step.usage["cost"]
    if step.completion is not None:
        ids = list(step.completion.token_ids)
        metrics.setdefault("completion_tokens", len(ids))
        metrics |= {"completion_token_ids": ids, "logprobs": list(step.completion.logprobs)}
    if shown is not None:
        metrics["prompt_token_ids"] = shown
    return metrics


def _extra(step: Step) -> dict[str, Any]:
    found = _fields(OurStep, step) | {
        "timings": _fields(OurTimings, step.timings),
        "panels": [panel_to_json(each) for each in step.panels],
    }
    if step.completion is not None:
        found["finish_reason"] = step.completion.finish_reason
        found["versions"] = [list(pair) for pair in step.completion.versions]
    return found


def _shown(segments: list[Segment]) -> dict[int, list[int]]:
    """Return the tokens that each step was shown, those before what it sampled."""
    return {
        step: segment.token_ids[:first] for segment in segments for step, first, _ in segment.steps
    }


def _fields(kind: type[Part], ours: Any) -> dict[str, Any]:
    """Return what a record of ours has of the fields of `kind`."""
    names = kind.model_fields
    return {name: getattr(ours, name) for name in names if hasattr(ours, name)}
