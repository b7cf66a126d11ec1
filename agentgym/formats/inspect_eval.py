"""Reading the logs of inspect: an `.eval` archive with a member a sample, or the same as one JSON.

A sample is stored whole, or in chunks under a folder of its own. Long texts stand apart, as
attachments, and are put back.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from agentgym.errors import StoreError
from agentgym.formats import source as sources
from agentgym.formats.conversation import Tool, arguments_text, asked, cut, text
from agentgym.formats.inspect_events import model_events
from agentgym.formats.inspect_scores import Score, with_scores
from agentgym.formats.reader import Part, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.types import Message, Step, Task, ToolCall, Trajectory

_SAMPLE = re.compile(r"samples/(.+)_epoch_\d+(\.json|/sample\.json)", re.DOTALL)
_ATTACHED = re.compile(r"attachment://(\w+)")
_HEADERS = ("header.json", "_journal/start.json")


class _Call(Part):
    id: str = ""
    function: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)


class _Fault(Part):
    message: str = ""


class _Message(Part):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] = ""
    tool_calls: list[_Call] | None = None
    tool_call_id: str | list[str] | None = None
    id: str | None = None
    source: str | None = None
    error: _Fault | None = None

    def to_ours(self, told: Told) -> Message:
        calls = tuple(
            ToolCall(call.function, arguments_text(call.arguments), id=call.id)
            for call in self.tool_calls or ()
        )
        answered = self.tool_call_id if isinstance(self.tool_call_id, str) else None
        said = text(self.content, told)
        if self.error is not None:  # what a tool could not do is told to models instead
            said = "\n\n".join(filter(None, (said, f"Error: {self.error.message}")))
        return Message(self.role, said, calls, answered)


class _Limit(Part):
    type: str


class _Error(Part):
    message: str


class _Sample(Part):
    id: int | str
    epoch: int = 1
    input: Any = None
    choices: list[Any] | None = None
    target: Any = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    messages: list[_Message] = Field(default_factory=list)
    scores: dict[str, Score] | None = None
    error: _Error | None = None
    limit: _Limit | None = None
    uuid: str | None = None
    started_at: datetime | None = None
    total_time: FiniteFloat | None = None
    events: list[Any] = Field(default_factory=list)


class _Tools(Part):
    tools: list[Tool]


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
            known = any(name in source.members for name in _HEADERS)
            return "an archive with the header of an evaluation" if known else None
        if has_keys(source.first, "eval", "samples") and isinstance(source.first["eval"], dict):
            return "a log with `eval` and `samples`"
        return None

    def values(self) -> Iterator[Value]:
        """Yield the samples."""
        if not self.source.is_zip:
            yield from self._of_document()
            return
        for member in self.source.members:
            match = _SAMPLE.fullmatch(member)
            if match:
                in_chunks = match[2] != ".json"
                folder = member.removesuffix("/sample.json") if in_chunks else None
                yield from self._readable(member, folder)

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode of a sample."""
        attachments = _Attachments(value)
        sample = check(_Sample, value._replace(value=attachments.put_back(value.value)))
        prompt, steps = cut(
            (each.to_ours(self.told) for each in sample.messages), prompt=_first_own(sample)
        )
        offered = attachments.fill(_measure(steps, sample, self.told))
        tools = check(_Tools, value._replace(value={"tools": offered})).tools
        name = short_name(sample.id, value.name)
        yield Trajectory(
            id=short_name(sample.uuid, f"{name}-{sample.epoch}"),
            task=self._task(sample, name, asked(prompt[::-1])),  # examples come before
            group_id=name,
            member=max(0, sample.epoch - 1),
            policy=self._header.eval.model,
            prompt=prompt,
            tools=tuple(tool.to_ours() for tool in tools),
            steps=with_scores(steps, sample.scores or {}, self.told),
            **_end(sample),
            seconds=max(0.0, sample.total_time or 0.0),
        )

    def _task(self, sample: _Sample, name: str, asked: str) -> Task:
        about = {"choices": sample.choices, "metadata": sample.metadata}
        return Task(
            sample.input if isinstance(sample.input, str) else asked,
            id=name,
            answer=sample.target,
            payload={key: each for key, each in about.items() if each} or None,
            env=self._header.eval.task,
        )

    @cached_property
    def _header(self) -> _Header:
        if not self.source.is_zip:
            return check(_Header, Value(self.source.first, str(self.source.path), ""))
        member = next(name for name in _HEADERS if name in self.source.members)
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
        found = {"messages": messages, "attachments": named, "events": self._events(folder)}
        return shell._replace(value=shell.value | found)

    def _events(self, folder: str) -> list[Any]:
        """Return the events of a sample in chunks; without those that are broken it is read, too."""
        try:
            return self._sequence(f"{folder}/events/")
        except StoreError as error:
            if self.source.on_broken is None:
                raise
            self.source.on_broken(error)
            return []

    def _sequence(self, folder: str) -> list[Any]:
        """Return what stands in the chunks of a folder, each named by its first index."""
        found: list[Any] = []
        chunks = sorted(self._chunks.get(folder, ()))
        if sum(self.source.members[name] for _, name in chunks) > sources.LIMIT:
            raise StoreError(f"{self.source.path}: {folder!r} has more than {sources.LIMIT} bytes")
        for _, name in chunks:
            chunk = self.source.member(name)
            if not isinstance(chunk.value, list):
                raise StoreError(f"{chunk.place}: expected a list")
            found += chunk.value
        return found

    @cached_property
    def _chunks(self) -> dict[str, list[tuple[int, str]]]:
        """What stands in the folders of chunks: the first index, and the member."""
        found: dict[str, list[tuple[int, str]]] = {}
        for name in self.source.members:
            folder, slash, file = name.rpartition("/")
            if (stem := file.removesuffix(".json")).isdecimal() and stem != file:
                found.setdefault(folder + slash, []).append((int(stem), name))
        return found


class _Refs(Part):
    message_refs: list[tuple[int, int]]


def _first_own(sample: _Sample) -> int:
    """Return where the model begins: what stood in the input it did not say."""
    return next(
        (
            number
            for number, each in enumerate(sample.messages)
            if each.role == "assistant" and each.source != "input"
        ),
        len(sample.messages),
    )


def _measure(steps: list[Step], sample: _Sample, told: Told) -> list[Any]:
    """Give the steps what the events tell of them; return the tools that were offered first."""
    own = sample.messages[_first_own(sample) :]
    found = model_events(sample.events, told)
    tools: list[Any] = []
    for step, said in zip(steps, (each for each in own if each.role == "assistant"), strict=True):
        if event := found.get(said.id or ""):
            step.timings, step.usage = event.timings(sample.started_at), event.usage()
            tools = tools or event.tools
    return tools


class _Attachments:
    """The long texts of a sample, which stand apart; so few of them may be put back that it ends."""

    def __init__(self, value: Value) -> None:
        texts = value.value.get("attachments") if isinstance(value.value, dict) else None
        self._texts = texts if isinstance(texts, dict) else {}
        self._place = value.place
        self._left = sources.LIMIT

    def put_back(self, sample: Any) -> Any:
        """Return a sample with the texts in what was asked and said."""
        if not isinstance(sample, dict):
            return sample
        names = ("input", "messages")
        return sample | {name: self.fill(sample[name]) for name in names if name in sample}

    def fill(self, content: Any) -> Any:
        """Return a value with the texts in it."""
        if isinstance(content, str):
            return _ATTACHED.sub(self._text, content)
        if isinstance(content, list):
            return [self.fill(each) for each in content]
        if isinstance(content, dict):
            return {name: self.fill(each) for name, each in content.items()}
        return content

    def _text(self, match: re.Match[str]) -> str:
        text = str(self._texts.get(match[1], match[0]))
        self._left -= len(text)
        if self._left < 0:
            raise StoreError(f"{self._place}: attachments: they are put in more often than can be")
        return text


def _end(sample: _Sample) -> dict[str, Any]:
    if sample.error is not None:
        return {"end": "error", "reason": sample.error.message}
    if sample.limit is not None:
        return {"end": "truncated", "reason": f"{sample.limit.type} limit"}
    return {"end": "terminated", "reason": "completed"}
