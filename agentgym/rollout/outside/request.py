"""A request for a chat completion, taken apart without trusting it."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from agentgym.rollout.openai.answer import whole_characters
from agentgym.rollout.outside.refused import Refused
from agentgym.types import Message, ToolCall, ToolSpec

_TEXT = ("text", "input_text", "output_text", "refusal")
_SHOWN_CHARS = 200


class ChatRequest(NamedTuple):
    """What is asked, as far as it counts; how tokens are drawn is not for the client to say."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    model: str = ""
    """The name that the client uses, which it is told again."""
    streams: bool = False
    counts: bool = False
    """Whether a stream ends by its usage."""


def read_request(body: bytes) -> ChatRequest:
    """Read the body of a request.

    Raises:
        Refused: it is malformed, or asks for what cannot be: several answers, stop strings, images,
            an answer that is begun already.
    """
    try:
        found = _Body.model_validate(_clean(json.loads(body.decode("utf-8", "replace"))))
        request = ChatRequest(
            messages=tuple(map(_message, found.messages)),
            tools=tuple(_tool(each.function) for each in found.tools or ()),
            model=found.model[:_SHOWN_CHARS],
            streams=bool(found.stream),
            counts=bool((found.stream_options or {}).get("include_usage")),
        )
    except ValidationError as error:
        raise _malformed(_first(error)) from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:
        raise _malformed(f"no JSON ({str(error)[:_SHOWN_CHARS]})") from None
    _refuse_impossible(found)
    if request.messages[-1].role == "assistant":
        raise _malformed("the last message is the assistant's; an answer cannot be begun")
    return request


class _Function(BaseModel):
    name: str = Field(min_length=1)
    arguments: str | dict[str, Any] | None = None


class _Call(BaseModel):
    id: str | None = None
    function: _Function


class _Part(BaseModel):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part | str] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Described(BaseModel):
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Described


class _Body(BaseModel):
    model: str = ""
    messages: Annotated[list[_Message], Field(min_length=1)]
    tools: list[_Tool] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    stop: Any = None


def _message(given: _Message) -> Message:
    return Message(
        role="system" if given.role == "developer" else given.role,
        content=_text(given.content),
        tool_calls=tuple(map(_call, given.tool_calls or ())),
        tool_call_id=given.tool_call_id if given.role == "tool" else None,
    )


def _call(given: _Call) -> ToolCall:
    arguments = given.function.arguments
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(given.function.name, arguments, given.id or "")


def _text(content: str | list[_Part | str] | None) -> str:
    """Return the text of a content: a string, nothing, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(map(_part, content))


def _part(part: _Part | str) -> str:
    if isinstance(part, str):
        return part
    if part.type not in _TEXT:
        kind = part.type[:40]
        raise Refused(
            400, f"a part of a message is {kind!r}; only text is read", code="unsupported_content"
        )
    return part.text or part.refusal or ""


def _tool(given: _Described) -> ToolSpec:
    parameters = given.parameters or {"type": "object", "properties": {}}
    return ToolSpec(given.name, given.description or "", parameters)


def _refuse_impossible(found: _Body) -> None:
    if found.n not in (None, 1):
        raise Refused(
            400, "n is 1 here: one answer to each request", code="unsupported_value", param="n"
        )
    if found.stop:
        raise Refused(
            400,
            "there are no stop strings here: an answer ends where the model ends it",
            code="unsupported_parameter",
            param="stop",
        )


def _malformed(what: str) -> Refused:
    return Refused(400, f"the request is malformed: {what}", code="malformed_request")


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    place = ".".join(map(str, _place(found["loc"])))
    return f"`{place[:_SHOWN_CHARS]}`: {found['msg'][:_SHOWN_CHARS]}" if place else found["msg"]


def _place(loc: tuple[int | str, ...]) -> Iterator[int | str]:
    """Yield what stands in the request, without the names of types."""
    return (each for each in loc if isinstance(each, int) or each.islower())


def _clean(value: Any) -> Any:
    """Return JSON without halves of characters, which nothing else here could write."""
    match value:
        case str():
            return whole_characters(value)
        case list():
            return [_clean(each) for each in value]
        case dict():
            return {whole_characters(key): _clean(each) for key, each in value.items()}
    return value
