"""Reading ATIF, the Agent Trajectory Interchange Format of Harbor: a document for an episode.

Read are all versions up to 1.8. What our own export adds stands under `extra.agentgym`, as the
format allows; with it an episode comes back as it was.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import Field, FiniteFloat

from agentgym.env import action_key
from agentgym.formats.atif_ours import OurCall, OurMessage, OurStep, OurTrajectory
from agentgym.formats.conversation import Tool, arguments_text, asked, text, with_reasoning
from agentgym.formats.reader import NO_END, Part, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.formats.tokens import Streams
from agentgym.types import (
    Completion,
    Message,
    Role,
    Step,
    Task,
    Timings,
    ToolCall,
    Trajectory,
)

VERSION = "ATIF-v1.8"

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "agent": "assistant"}
K = TypeVar("K", bound=Part)
_Content = str | list[dict[str, Any]] | None


class _Extra(Part):
    agentgym: dict[str, Any] | None = None


class _Call(Part):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: _Extra | None = None


class _Result(Part):
    source_call_id: str | None = None
    content: _Content = None
    extra: _Extra | None = None


class _Observation(Part):
    results: list[_Result]


class _Metrics(Part):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: FiniteFloat | None = None
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[FiniteFloat] | None = None


class _Step(Part):
    source: Literal["system", "user", "agent"]
    timestamp: datetime | None = None
    message: _Content = ""
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    observation: _Observation | None = None
    metrics: _Metrics | None = None
    is_copied_context: bool | None = None
    extra: _Extra | None = None


class _Agent(Part):
    name: str = ""
    model_name: str | None = None
    tool_definitions: list[Tool] | None = None


class _Document(Part):
    schema_version: str = Field(pattern=r"^ATIF-v1\.\d+$")
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: _Agent
    steps: list[_Step]
    extra: _Extra | None = None
    subagent_trajectories: "list[_Document] | None" = None


class AtifReader(Reader):
    """A document, or one a line."""

    name = "ATIF"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `schema_version`."""
        version = has_keys(source.first, "schema_version") and source.first["schema_version"]
        if isinstance(version, str) and version.startswith("ATIF-"):
            return f"`schema_version` is {version[:20]}"
        return None

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode, and one for each agent that it called."""
        return self._episodes(check(_Document, value), value, None)

    def _episodes(
        self, document: _Document, value: Value, parent: str | None
    ) -> Iterator[Trajectory]:
        found = _trajectory(document, value, self.told, parent)
        yield found
        for child in document.subagent_trajectories or ():
            yield from self._episodes(child, value, found.id)


def _trajectory(document: _Document, value: Value, told: Told, parent: str | None) -> Trajectory:
    ours = document.extra and document.extra.agentgym
    known = check(OurTrajectory, value._replace(value=ours)) if ours else None
    first = known.prompt if known else _first_own(document.steps)
    prompt = [m for step in document.steps[:first] for m in _messages(step, value, told)]
    steps: list[Step] = []
    streams = Streams()
    for record in document.steps[first:]:
        spoken, *replies = _messages(record, value, told)
        if record.source == "agent":
            steps.append(
                Step(message=spoken, replies=tuple(replies), action_key=action_key(spoken))
            )
            _complete(steps[-1], len(steps) - 1, record, value, streams, told)
        elif steps:
            steps[-1].replies = (*steps[-1].replies, spoken, *replies)
        else:
            prompt += [spoken, *replies]
    found = _frame(document, value, prompt, parent) if known is None else _restored(known)
    found.prompt, found.steps, found.segments = tuple(prompt), steps, streams.segments
    found.tools = tuple(tool.to_ours() for tool in document.agent.tool_definitions or ())
    if known is None:
        told["without an end"] += 1
    return found


def _first_own(steps: Sequence[_Step]) -> int:
    """Return where the policy begins: what was copied from an earlier document it did not say."""
    return next(
        (
            number
            for number, step in enumerate(steps)
            if step.source == "agent" and not step.is_copied_context
        ),
        len(steps),
    )


def _frame(
    document: _Document, value: Value, prompt: Sequence[Message], parent: str | None
) -> Trajectory:
    name = short_name(document.trajectory_id or document.session_id, value.name)
    times = [step.timestamp for step in document.steps if step.timestamp]
    return Trajectory(
        id=name,
        task=Task(asked(prompt)),
        group_id=name,
        policy=document.agent.model_name or document.agent.name,
        parent_id=parent,
        reason=NO_END,
        seconds=_between(times[0], times[-1]) if times else 0.0,
    )


def _between(first: datetime, last: datetime) -> float:
    """Return the seconds between two times, of which one may not tell its zone."""
    if (first.tzinfo is None) != (last.tzinfo is None):
        return 0.0
    return max(0.0, (last - first).total_seconds())


def _restored(known: OurTrajectory) -> Trajectory:
    fields = {name: getattr(known, name) for name in OurTrajectory.model_fields}
    del fields["prompt"]
    return Trajectory(**fields | {"task": Task(**known.task.model_dump())})


def _messages(step: _Step, value: Value, told: Told) -> list[Message]:
    """Return what a step says, and what was answered to it."""
    said = with_reasoning(step.reasoning_content, text(step.message, told))
    calls = tuple(_call(call, value) for call in step.tool_calls or ())
    role = _ours(OurMessage, step.extra, value) if step.source != "agent" else None
    spoken = Message(_ROLES[step.source], said, calls)
    if role is not None:
        spoken = Message(role.role, said, calls, role.tool_call_id)
    results = step.observation.results if step.observation else ()
    return [spoken, *(_reply(result, value, told) for result in results)]


def _call(call: _Call, value: Value) -> ToolCall:
    ours = _ours(OurCall, call.extra, value)
    arguments = ours.arguments if ours else arguments_text(call.arguments)
    return ToolCall(call.function_name, arguments, id=call.tool_call_id)


def _reply(result: _Result, value: Value, told: Told) -> Message:
    said = text(result.content, told)
    if ours := _ours(OurMessage, result.extra, value):
        return Message(ours.role, said, tool_call_id=ours.tool_call_id)
    if result.source_call_id is None:
        return Message("user", said)
    return Message("tool", said, tool_call_id=result.source_call_id)


def _complete(
    step: Step, index: int, record: _Step, value: Value, streams: Streams, told: Told
) -> None:
    """Fill in what was measured, and what only we record."""
    metrics = record.metrics or _Metrics()
    step.usage = _usage(metrics)
    ours = _ours(OurStep, record.extra, value)
    if ours is not None:
        _restore(step, ours)
    sampled, logprobs = metrics.completion_token_ids, metrics.logprobs
    if not sampled:
        return
    if logprobs is None or len(logprobs) != len(sampled):
        told["with tokens without log-probabilities, left out"] += 1
        return
    if ours is None:
        told["with tokens that do not tell their policy version, nor why they stopped"] += 1
    ours = ours or OurStep()
    step.completion = Completion(
        token_ids=tuple(sampled),
        logprobs=tuple(logprobs),
        finish_reason=ours.finish_reason,
        versions=tuple(ours.versions),
    )
    if metrics.prompt_token_ids is not None:
        streams.add(index, metrics.prompt_token_ids, sampled, logprobs)


def _restore(step: Step, ours: OurStep) -> None:
    for name in ("reward_terms", "state_key", "next_state_key", "action_key", "agent", "usage"):
        setattr(step, name, getattr(ours, name))
    step.timed_out = ours.timed_out
    step.timings = Timings(**ours.timings.model_dump())


def _usage(metrics: _Metrics) -> dict[str, float]:
    found = {
        "prompt_tokens": metrics.prompt_tokens,
        "completion_tokens": metrics.completion_tokens,
        "cost": metrics.cost_usd,
    }
    return {name: float(number) for name, number in found.items() if number is not None}


def _ours(kind: type[K], extra: _Extra | None, value: Value) -> K | None:
    """Return what our export added, if it did."""
    if extra is None or extra.agentgym is None:
        return None
    return check(kind, value._replace(value=extra.agentgym))
