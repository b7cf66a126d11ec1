"""Reading ATIF, the Agent Trajectory Interchange Format of Harbor: a document for an episode.

Read are all versions up to 1.8. What our own export adds stands under `extra.agentgym`, as the
format allows; with it an episode comes back as it was.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import Field, FiniteFloat

from agentgym.formats.atif_ours import OurCall, OurMessage, OurStep, OurTrajectory
from agentgym.formats.conversation import Tool, arguments_text, asked, text, to_step, with_reasoning
from agentgym.formats.reader import (
    NO_END,
    Part,
    Reader,
    Told,
    check,
    names_format,
    seconds_between,
    short_name,
)
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


class _Reference(Part):
    trajectory_path: str | None = None


class _Result(Part):
    source_call_id: str | None = None
    content: _Content = None
    subagent_trajectory_ref: list[_Reference] | None = None
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
    model_name: str | None = None
    timestamp: datetime | None = None
    message: _Content = ""
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    observation: _Observation | None = None
    metrics: _Metrics | None = None
    llm_call_count: int | None = None
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
    continued_trajectory_ref: str | None = None


class AtifReader(Reader):
    """A document, or one a line."""

    name = "ATIF"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `schema_version`."""
        return names_format(source.first, "schema_version", "ATIF-")

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode, and one for each agent that it called."""
        return self._episodes(check(_Document, value), value, None)

    def _episodes(
        self, document: _Document, value: Value, parent: str | None
    ) -> Iterator[Trajectory]:
        found = _trajectory(document, value, self.told, parent)
        yield found
        for number, child in enumerate(document.subagent_trajectories or ()):
            inside = value._replace(name=f"{found.id}.{number}")
            yield from self._episodes(child, inside, found.id)


def _trajectory(document: _Document, value: Value, told: Told, parent: str | None) -> Trajectory:
    ours = document.extra and document.extra.agentgym
    known = check(OurTrajectory, value._replace(value=ours)) if ours else None
    first = known.prompt if known else _first_own(document.steps)
    prompt = [m for step in document.steps[:first] for m in _messages(step, value, told)]
    turns: list[tuple[_Step, list[Message]]] = []
    for record in document.steps[first:]:
        said = _messages(record, value, told)
        if record.source == "agent":
            turns.append((record, said))
        else:
            (turns[-1][1] if turns else prompt).extend(said)
    steps = [to_step(*said) for _, said in turns]
    streams = Streams()
    began = next((step.timestamp for step in document.steps if step.timestamp), None)
    for index, (record, _) in enumerate(turns):
        steps[index].timings = Timings(started_s=seconds_between(began, record.timestamp))
        _complete(steps[index], index, record, value, streams, told)
    found = _frame(document, value, prompt, parent) if known is None else _restored(known)
    segments = streams.segments if known is None else streams.arranged(known.streams)
    found.prompt, found.steps, found.segments = tuple(prompt), steps, segments
    found.tools = tuple(tool.to_ours() for tool in document.agent.tool_definitions or ())
    if known is None:
        told["without an end"] += 1
        _tell(document, told)
    return found


def _tell(document: _Document, told: Told) -> None:
    """Tell what a document points at and what looks like turns of a model, but is none."""
    if document.continued_trajectory_ref:
        told["that go on in another file, which is not read"] += 1
    results = (each for s in document.steps if s.observation for each in s.observation.results)
    references = (each for result in results for each in result.subagent_trajectory_ref or ())
    if any(each.trajectory_path for each in references):
        told["that called agents of another file, which is not read"] += 1
    if any(step.source == "agent" and step.llm_call_count == 0 for step in document.steps):
        told["with turns that no model said"] += 1


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
    # A session is the whole run, which those that were called share.
    session = document.session_id if parent is None else None
    name = short_name(document.trajectory_id or session, value.name)
    times = [step.timestamp for step in document.steps if step.timestamp]
    models = (step.model_name for step in document.steps)
    return Trajectory(
        id=name,
        task=Task(asked(prompt)),
        group_id=name,
        policy=document.agent.model_name or next(filter(None, models), document.agent.name),
        parent_id=parent,
        reason=NO_END,
        seconds=seconds_between(times[0], times[-1]) if times else 0.0,
    )


def _restored(known: OurTrajectory) -> Trajectory:
    fields = {name: getattr(known, name) for name in OurTrajectory.model_fields}
    del fields["prompt"], fields["streams"]
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
    step.timed_out, step.panels = ours.timed_out, ours.panels
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
