"""Reading the logs of inspect: an `.eval` archive with a member a sample, or the same as one JSON.

A sample is stored whole, or in chunks under a folder of its own. Long texts stand apart, as
attachments, and are put back.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from agentgym.errors import StoreError
from agentgym.formats.conversation import arguments_text, asked, cut, text
from agentgym.formats.reader import Part, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.types import OUTCOME, Message, Step, Task, ToolCall, Trajectory

_SAMPLE = re.compile(r"samples/(.+)_epoch_\d+(\.json|/sample\.json)", re.DOTALL)
_ATTACHED = re.compile(r"attachment://(\w+)")
_HEADERS = ("header.json", "_journal/start.json")
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # as inspect turns them into numbers


class _Call(Part):
    id: str = ""
    function: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)


class _Message(Part):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] = ""
    tool_calls: list[_Call] | None = None
    tool_call_id: str | list[str] | None = None

    def to_ours(self, told: Told) -> Message:
        calls = tuple(
            ToolCall(call.function, arguments_text(call.arguments), id=call.id)
            for call in self.tool_calls or ()
        )
        answered = self.tool_call_id if isinstance(self.tool_call_id, str) else None
        return Message(self.role, text(self.content, told), calls, answered)


class _Score(Part):
    value: Any = None


class _Limit(Part):
    type: str


class _Error(Part):
    message: str


class _Sample(Part):
    id: int | str
    epoch: int = 1
    target: Any = None
    messages: list[_Message] = Field(default_factory=list)
    scores: dict[str, _Score] | None = None
    error: _Error | None = None
    limit: _Limit | None = None
    uuid: str | None = None
    total_time: FiniteFloat | None = None


class _Eval(Part):
    task: str
    model: str = ""


class _Header(Part):
    eval: _Eval


class InspectReader(Reader):
    """An episode for each sample and epoch; the epochs of a sample are a group."""

    name = "inspect"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for the header of an evaluation and for samples."""
        if source.is_zip:
            members = source.members()
            known = any(name in members for name in _HEADERS)
            return "an archive with the header of an evaluation" if known else None
        if has_keys(source.first, "eval", "samples") and isinstance(source.first["eval"], dict):
            return "a log with `eval` and `samples`"
        return None

    def values(self) -> Iterator[Value]:
        """Yield the samples."""
        if not self.source.is_zip:
            yield from self._of_document()
            return
        for member in self.source.members():
            match = _SAMPLE.fullmatch(member)
            if match:
                in_chunks = match[2] != ".json"
                folder = member.removesuffix("/sample.json") if in_chunks else None
                yield from self._readable(member, folder)

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode of a sample."""
        sample = check(_Sample, value._replace(value=_attached(value)))
        messages = [each.to_ours(self.told) for each in sample.messages]
        prompt, steps = cut(messages)
        task = short_name(sample.id, value.name)
        yield Trajectory(
            id=short_name(sample.uuid, f"{task}-{sample.epoch}"),
            task=Task(asked(prompt), id=task, answer=sample.target, env=self._header.eval.task),
            group_id=task,
            member=max(0, sample.epoch - 1),
            policy=self._header.eval.model,
            prompt=prompt,
            steps=_with_scores(steps, sample.scores or {}, self.told),
            **_end(sample),
            seconds=sample.total_time or 0.0,
        )

    @cached_property
    def _header(self) -> _Header:
        if not self.source.is_zip:
            return check(_Header, Value(self.source.first, str(self.source.path), ""))
        member = next(name for name in _HEADERS if name in self.source.members())
        return check(_Header, self.source.member(member))

    def _of_document(self) -> Iterator[Value]:
        samples = self.source.first["samples"]
        for number, sample in enumerate(samples if isinstance(samples, list) else (), 1):
            place = f"{self.source.path}, sample {number}"
            yield Value(sample, place, f"sample-{number}")

    def _readable(self, member: str, folder: str | None) -> Iterator[Value]:
        try:
            value = self.source.member(member)
            yield self._joined(value, folder) if folder else value
        except StoreError as error:
            if self.source.on_broken is None:
                raise
            self.source.on_broken(error)

    def _joined(self, shell: Value, folder: str) -> Value:
        """Put a sample in chunks together: its messages are ranges of one sequence."""
        if not isinstance(shell.value, dict):
            raise StoreError(
                f"{shell.place}: expected an object, found {type(shell.value).__name__}"
            )
        said = self._sequence(f"{folder}/messages/")
        messages: list[Any] = []
        for first, stop in check(_Refs, shell).message_refs:
            messages += said[max(0, first) : stop]
            if len(messages) > len(said):
                raise StoreError(f"{shell.place}: message_refs: a message comes up twice")
        attachments = self._sequence(f"{folder}/attachments/")
        named = {str(number): each for number, each in enumerate(attachments)}
        return shell._replace(value=shell.value | {"messages": messages, "attachments": named})

    def _sequence(self, folder: str) -> list[Any]:
        """Return what stands in the chunks of a folder, each named by its first index."""
        found: list[Any] = []
        starts = sorted(
            (int(stem), name)
            for name in self.source.members()
            if name.startswith(folder) and (stem := name[len(folder) : -5]).isdecimal()
        )
        for _, name in starts:
            chunk = self.source.member(name)
            if not isinstance(chunk.value, list):
                raise StoreError(f"{chunk.place}: expected a list")
            found += chunk.value
        return found


class _Refs(Part):
    message_refs: list[tuple[int, int]]


def _attached(value: Value) -> Any:
    """Return a sample whose messages have their attachments in them again."""
    if not has_keys(value.value, "messages"):
        return value.value
    texts = value.value.get("attachments")
    texts = texts if isinstance(texts, dict) else {}
    return value.value | {"messages": _filled(value.value["messages"], texts)}


def _filled(content: Any, texts: Mapping[str, Any]) -> Any:
    if isinstance(content, str):
        return _ATTACHED.sub(lambda match: str(texts.get(match[1], match[0])), content)
    if isinstance(content, list):
        return [_filled(each, texts) for each in content]
    if isinstance(content, dict):
        return {name: _filled(each, texts) for name, each in content.items()}
    return content


def _with_scores(steps: list[Step], scores: Mapping[str, _Score], told: Told) -> list[Step]:
    """Give the last step the scores; that of a single scorer is the outcome."""
    terms = {
        name: number for name, each in scores.items() if (number := _number(each.value)) is not None
    }
    if len(terms) < len(scores):
        told["with a score that is no number"] += 1
    if len(terms) == 1:
        terms = {OUTCOME: next(iter(terms.values()))}
    elif terms and OUTCOME not in terms:
        told["with several scores, none of which is the outcome"] += 1
    if steps:
        steps[-1].reward_terms = terms
    return steps


def _number(score: Any) -> float | None:
    if isinstance(score, bool | int | float):
        return float(score) if abs(score) < 1e308 else None
    return _GRADES.get(score) if isinstance(score, str) else None


def _end(sample: _Sample) -> dict[str, Any]:
    if sample.error is not None:
        return {"end": "error", "reason": sample.error.message}
    if sample.limit is not None:
        return {"end": "truncated", "reason": f"{sample.limit.type} limit"}
    return {"end": "terminated", "reason": "completed"}
