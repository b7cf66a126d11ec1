"""A conversation as the body of a request."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agentgym.rollout.openai.settings import OpenAIConfig
from agentgym.types import Message, ToolSpec, derive_seed

_MAX_SEED = 2**31  # some servers keep it in 32 bits


def make_request(
    config: OpenAIConfig, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
) -> dict[str, Any]:
    """Return the body of `/chat/completions`; what is not set is left to the server."""
    settings = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens,
        "seed": None if config.seed is None else _seed(config.seed, seed, len(messages)),
    }
    return {
        "model": config.model,
        "messages": list(_conversation(messages)),
        **({"tools": [tool.to_openai() for tool in tools]} if tools else {}),
        **{key: value for key, value in settings.items() if value is not None},
        **config.extra,
    }


def encode(request: dict[str, Any]) -> bytes:
    """Return a body as UTF-8; half a character, which UTF-8 cannot hold, becomes `?`."""
    return json.dumps(request, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def with_valid_arguments(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the request with `{}` for every broken argument in it; None if there is none.

    Some servers read the arguments of earlier calls and refuse a conversation in which a model
    wrote broken JSON, so that it could never learn of its mistake.
    """
    messages = [_with_valid_arguments(message) for message in request["messages"]]
    return None if messages == request["messages"] else {**request, "messages": messages}


def _seed(*parts: int) -> int:
    return derive_seed(*parts) % _MAX_SEED


def _conversation(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Yield the messages; a call that the environment left without answer gets an empty one.

    Servers refuse a conversation in which a call has none.
    """
    open_calls: dict[str, None] = {}
    for message in messages:
        if message.role == "tool":
            open_calls.pop(message.tool_call_id or "", None)
        else:
            yield from map(_no_result, open_calls)
            open_calls = {call.id: None for call in message.tool_calls}
        yield _to_json(message)
    yield from map(_no_result, open_calls)


def _no_result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": ""}


def _to_json(message: Message) -> dict[str, Any]:
    found = message.to_openai()
    if message.tool_calls and not message.content:
        found["content"] = None  # an empty text beside calls is refused by some
    return found


def _with_valid_arguments(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return message
    mended = [
        {**call, "function": {**call["function"], "arguments": "{}"}}
        if not _is_object(call["function"]["arguments"])
        else call
        for call in calls
    ]
    return {**message, "tool_calls": mended}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
