"""What a server answered, taken apart without trusting it."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from agentgym.types import Message, ToolCall

_MAX_ID_CHARS = 256
_MAX_COUNT = 1e15  # of tokens, or of money: more is nonsense
_SHOWN_CHARS = 80


class MalformedAnswer(Exception):  # noqa: N818  the request is tried again
    """Raised for an answer that is no chat completion."""


class Answer(NamedTuple):
    """A message, and what it took."""

    message: Message
    usage: dict[str, float]


def read_answer(body: bytes, *, taken_ids: Collection[str] = ()) -> Answer:
    """Return the first choice of a chat completion.

    Calls get ids that are none of `taken_ids`, where theirs are missing, equal or unusable. Their
    arguments stay the text that they are. What a server calls reasoning is left out.

    Raises:
        MalformedAnswer: this is something else.
    """
    try:
        return _read(_json(body), set(taken_ids))
    except RecursionError:
        raise MalformedAnswer("it is nested too deeply") from None


def _read(answer: dict[str, Any], taken: set[str]) -> Answer:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedAnswer(f"no choices in it but {_shown(answer.get('error') or answer)}")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswer(f"a choice without a message: {_shown(choice)}")
    calls = tuple(_calls(message.get("tool_calls"), taken))
    content = _text(message.get("content")) or _text(message.get("refusal"))
    usage = _usage(answer.get("usage"))
    if choice.get("finish_reason") == "length":
        usage["cut"] = 1.0
    return Answer(Message("assistant", content, calls), usage)


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body.decode("utf-8", "replace"))
    except ValueError as error:
        text = body[: _SHOWN_CHARS * 4].decode("utf-8", "replace")
        raise MalformedAnswer(f"no JSON ({str(error)[:_SHOWN_CHARS]}) but {_shown(text)}") from None
    if not isinstance(answer, dict):
        raise MalformedAnswer(f"no JSON object but {_shown(answer)}")
    return answer


def _text(content: Any) -> str:
    """Return the text of a content: a string, nothing, or a list of parts."""
    match content:
        case None:
            return ""
        case str():
            return whole_characters(content)
        case list():
            return "".join(map(_part, content))
    raise MalformedAnswer(f"the content is no text but {_shown(content)}")


def _part(part: Any) -> str:
    """Return the text of a part; thoughts and images have none."""
    if isinstance(part, str):
        return whole_characters(part)
    if not isinstance(part, dict):
        raise MalformedAnswer(f"a part of the content is {_shown(part)}")
    if part.get("type", "text") not in ("text", "output_text", "refusal"):
        return ""
    return _text(part.get("text") or part.get("refusal"))


def _calls(calls: Any, taken: set[str]) -> Iterator[ToolCall]:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise MalformedAnswer(f"tool_calls is no list but {_shown(calls)}")
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise MalformedAnswer(f"a tool call is {_shown(call)}")
        name, arguments = whole_characters(function["name"]), _arguments(function.get("arguments"))
        call_id = _id(call.get("id"), taken)
        taken.add(call_id)
        yield ToolCall(name, arguments, call_id)


def _arguments(arguments: Any) -> str:
    """Return arguments as the text they came as; some servers send the object itself."""
    if arguments is None:
        return "{}"
    if isinstance(arguments, str):
        return whole_characters(arguments)
    return whole_characters(json.dumps(arguments, ensure_ascii=False))


def _id(given: Any, taken: Collection[str]) -> str:
    own = whole_characters(given) if isinstance(given, str) else ""
    if 0 < len(own) <= _MAX_ID_CHARS and own not in taken:
        return own
    number = len(taken)
    while (made := f"call{number:05d}") in taken:  # nine letters and digits suit every server
        number += 1
    return made


def _usage(usage: Any) -> dict[str, float]:
    """Return the counts that are counts."""
    if not isinstance(usage, Mapping):
        return {}
    counts = ((name, usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "cost"))
    return {
        name: float(count)
        for name, count in counts
        if isinstance(count, int | float)
        and not isinstance(count, bool)
        and 0 <= count <= _MAX_COUNT
    }


def whole_characters(text: str) -> str:
    r"""Replace halves of characters, which no UTF-8 holds.

    >>> whole_characters("a\ud83db")
    'a\ufffdb'
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shown(value: Any) -> str:
    return whole_characters(repr(value)[:_SHOWN_CHARS])
