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
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHTS = {"reasoning": "reasoning", "thinking": "thinking"}
_KINDS = 20  # of parts that are told apart by their names, which the file chooses


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


class Thought(Part):
    """Reasoning as Anthropic has it, and LiteLLM after it; what is encrypted has no text."""

    thinking: str = ""


class Chat(Part):
    """A message in the OpenAI shape, as many programs write it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any] | str] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    thinking_blocks: list[Thought] | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    tool_call_id: str | None = None

    def to_ours(self, told: Told) -> Message:
        """Return it as ours; parts that are no text are left out and told."""
        calls = list(self.tool_calls or ())
        if self.function_call is not None and not calls:  # of the time before `tool_calls`
            calls.append(Call(function=self.function_call))
        return Message(
            _ROLES[self.role],
            with_reasoning(self._thoughts(), text(self.content, told) or self.refusal or ""),
            tuple(call.to_ours() for call in calls),
            self.tool_call_id,
        )

    def _thoughts(self) -> str:
        blocks = "\n\n".join(each.thinking for each in self.thinking_blocks or ())
        return self.reasoning_content or self.reasoning or self.thinking or blocks


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
    return "".join(part if isinstance(part, str) else _part(part, told) for part in content)


def _part(part: Mapping[str, Any], told: Told) -> str:
    kind = str(part.get("type"))[:40]
    said = part.get(_TEXTS.get(kind, ""))
    if isinstance(said, str):
        return said
    hidden = bool(part.get("redacted"))  # what is encrypted may have a summary that is not
    thought = part.get("summary" if hidden else _THOUGHTS.get(kind, ""))
    if isinstance(thought, str) and thought and kind in _THOUGHTS:
        return with_reasoning(thought, "")
    if kind in _THOUGHTS and (hidden or thought == ""):
        told["reasoning that is encrypted, left out"] += 1
        return ""
    name = f"{kind!r} parts left out"
    told[name if name in told or len(told) < _KINDS else "other parts left out"] += 1
    return ""


def with_reasoning(reasoning: str | None, content: str) -> str:
    """Return content after its reasoning, in the way that models write both as one text."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def cut(messages: Iterable[Message], *, prompt: int = 0) -> tuple[tuple[Message, ...], list[Step]]:
    """Return the messages before the policy's first, and a step for each of the policy's.

    The first `prompt` messages are of the prompt, whoever speaks.
    """
    before: list[Message] = []
    turns: list[list[Message]] = []  # the policy's message, and what was answered
    for number, message in enumerate(messages):
        if number >= prompt and message.role == "assistant":
            turns.append([message])
        else:
            (turns[-1] if turns else before).append(message)
    return tuple(before), [to_step(*turn) for turn in turns]


def to_step(message: Message, *replies: Message) -> Step:
    """Return the step of a message of the policy, as far as messages tell."""
    return Step(message=message, replies=replies, action_key=action_key(message))


def asked(prompt: Sequence[Message]) -> str:
    """Return what the task was, as far as the conversation tells: what the user said first."""
    return next((each.content for each in prompt if each.role == "user"), "")
