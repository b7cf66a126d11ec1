"""How a chat template wants its messages: one asks for text where another asks for objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentgym.renderers.calls import Syntax, read_arguments
from agentgym.types import Message, ToolCall

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")  # one of them is the template's
_BETWEEN = "\n\n"  # messages that are joined


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a template can take; the rest is written as text."""

    arguments: Literal["object", "text"] = "object"
    """The arguments of a call are a mapping, or JSON."""
    empty: str | None = ""
    """The content of a call without words."""
    has_short_ids: bool = False
    """Calls have ids of nine letters and digits."""
    thoughts: Literal["content", "field"] = "content"
    """Thoughts stand in the content between tags, or in a field of their own."""
    takes_system: bool = True
    """Otherwise the first user says what the system says."""
    takes_turns: bool = False
    """Users may not speak twice in a row: what they say is joined."""
    takes_calls: bool = True
    """Otherwise calls are text, and a user tells what comes of them."""
    takes_several: bool = True
    """Several calls in a message; otherwise these are text."""
    keeps_words: bool = True
    """Words beside a call are rendered; otherwise both are text."""
    content: Literal["text", "parts"] = "text"
    """The content of a message is text, or a list of parts, as where there may be images."""
    needs_calls: bool = False
    """What comes of a call is rendered only behind one."""


def to_plain(
    messages: Sequence[Message], form: Form, syntax: Syntax | None
) -> list[dict[str, Any]]:
    """Return messages as a template takes them."""
    plain: list[dict[str, Any]] = []
    has_calls = False
    for message in messages:
        made = _plain(message, form, syntax)
        if message.role == "assistant":
            has_calls = bool(message.tool_calls)
        if message.role == "tool" and not (
            form.takes_calls and (has_calls or not form.needs_calls)
        ):
            made = {"role": "user", "content": message.content}
        if message.role == "system" and not form.takes_system:
            made = {"role": "user", "content": message.content}
        last = plain[-1] if plain else None
        if form.takes_turns and last and last["role"] == made["role"] == "user":
            last["content"] += _BETWEEN + made["content"]
        else:
            plain.append(made)
    if form.content == "parts":
        for made in plain:
            made["content"] = [{"type": "text", "text": made["content"] or ""}]
    return plain


def _plain(message: Message, form: Form, syntax: Syntax | None) -> dict[str, Any]:
    if message.role != "assistant":
        plain = message.to_openai()
        if form.has_short_ids and message.role == "tool":
            plain["tool_call_id"] = _short(message.tool_call_id or "")
        return plain
    content, native = _divide(message, form, syntax)
    plain = {"role": "assistant", "content": content}
    if form.thoughts == "field":
        thought, content = split_thought(content)
        if native and thought and content:  # which such templates take for one and the same
            thought, content = "", f"{thought}{_BETWEEN}{content}"
        plain |= {"content": content}
        if thought:
            plain |= dict.fromkeys(_THOUGHT_FIELDS, thought)
    if native:
        plain["content"] = plain["content"] or form.empty
        plain["tool_calls"] = native
    return plain


def _divide(
    message: Message, form: Form, syntax: Syntax | None
) -> tuple[str, list[dict[str, Any]]]:
    """Return the content of an answer, with the calls that are text, and those that are not."""
    calls = message.tool_calls
    is_native = (
        form.takes_calls
        and (form.takes_several or len(calls) < 2)
        and (form.keeps_words or not message.content)
    )
    content, native = message.content, []
    for call in calls:
        arguments = read_arguments(call)
        if arguments is None and form.needs_calls:
            arguments = {"unreadable": call.arguments}
        if is_native and arguments is not None:
            native.append(_native(call, arguments, form))
        elif syntax is not None:
            content += syntax.write(call)
    return content, native


def _native(call: ToolCall, arguments: dict[str, Any], form: Form) -> dict[str, Any]:
    function = {
        "name": call.name or "unreadable",
        "arguments": (call.arguments or "{}") if form.arguments == "text" else arguments,
    }
    identity = _short(call.id) if form.has_short_ids else call.id
    return {"id": identity, "type": "function", "function": function}


def _short(identity: str) -> str:
    """Return nine letters and digits, the same for the same id.

    >>> _short("call_12")
    '00call012'
    """
    return "".join(each if each.isascii() and each.isalnum() else "0" for each in identity)[
        -9:
    ].rjust(9, "0")


def split_thought(content: str) -> tuple[str, str]:
    """Return the thought that an answer begins with, and the rest.

    >>> split_thought("<think>Why?</think> Because.")
    ('Why?', 'Because.')
    """
    thought, end, rest = content.partition("</think>")
    if not end:
        return "", content
    return thought.replace("<think>", "", 1).strip(), rest.lstrip()
