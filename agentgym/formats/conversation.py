"""Messages of other programs as ours, and a conversation cut into steps."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from agentgym.env import action_key
from agentgym.formats.reader import Part, Told
from agentgym.types import Message, Role, Step, ToolCall, ToolSpec

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXTS = ("text", "input_text", "output_text")


class Function(Part):
    """What a call calls; arguments are JSON text, or in some files the object itself."""

    name: str
    arguments: str | dict[str, Any] | None = None


class Call(Part):
    """A call of a tool in the OpenAI shape."""

    id: str | None = None
    function: Function

    def to_ours(self) -> ToolCall:
        """Return it as ours."""
        return ToolCall(
            self.function.name, arguments_text(self.function.arguments), id=self.id or ""
        )


class Chat(Part):
    """A message in the OpenAI shape, as many programs write it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any] | str] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None

    def to_ours(self, told: Told) -> Message:
        """Return it as ours; parts that are no text are left out and told."""
        return Message(
            _ROLES[self.role],
            with_reasoning(self.reasoning_content or self.reasoning, text(self.content, told)),
            tuple(call.to_ours() for call in self.tool_calls or ()),
            self.tool_call_id,
        )


class Tool(Part):
    """A tool that was offered, in the OpenAI shape or bare."""

    function: "Tool | None" = None
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None

    def to_ours(self) -> ToolSpec:
        """Return it as ours."""
        inner = self.function or self
        return ToolSpec(inner.name or "", inner.description or "", inner.parameters or {})


def arguments_text(arguments: str | Mapping[str, Any] | None) -> str:
    """Return arguments as JSON text; text stays the text that it is."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments or {}, ensure_ascii=False)


def text(content: str | Sequence[Any] | None, told: Told) -> str:
    """Return the text of a content that may be in parts; what is no text is left out and told."""
    if content is None or isinstance(content, str):
        return content or ""
    pieces = []
    for part in content:
        if isinstance(part, str):
            pieces.append(part)
        elif part.get("type") in _TEXTS and isinstance(part.get("text"), str):
            pieces.append(part["text"])
        elif part.get("type") == "reasoning" and isinstance(part.get("reasoning"), str):
            pieces.append(with_reasoning(part["reasoning"], ""))
        else:
            told[f"{str(part.get('type'))[:40]!r} parts left out"] += 1
    return "".join(pieces)


def with_reasoning(reasoning: str | None, content: str) -> str:
    """Return content after its reasoning, in the way that models write both as one text."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def cut(messages: Iterable[Message], *, prompt: int = 0) -> tuple[tuple[Message, ...], list[Step]]:
    """Return the messages before the policy's first, and a step for each of the policy's.

    The first `prompt` messages are of the prompt, whoever speaks.
    """
    before: list[Message] = []
    steps: list[Step] = []
    for number, message in enumerate(messages):
        if number >= prompt and message.role == "assistant":
            steps.append(Step(message=message, action_key=action_key(message)))
        elif steps:
            steps[-1].replies = (*steps[-1].replies, message)
        else:
            before.append(message)
    return tuple(before), steps


def asked(prompt: Sequence[Message]) -> str:
    """Return what the task was, as far as the conversation tells: what the user said first."""
    return next((each.content for each in prompt if each.role == "user"), "")
