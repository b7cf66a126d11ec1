"""What a gateway answers over HTTP: who asks is known by a key, and only in their own session."""

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentgym.rollout.outside.refused import Refused, is_over
from agentgym.rollout.outside.request import read_request
from agentgym.rollout.outside.session import Session
from agentgym.rollout.outside.telling import task_text, tools_text
from agentgym.web.requests import BadBody, read_bounded, while_there

LARGEST_BODY = 4 << 20
"""Bytes of a request; a conversation that fits a model has a tenth."""

_MODEL = "agentgym"

Find = Callable[[str], "Session | str | None"]
"""The session of a key; why it ended; None: there never was one."""
Endpoint = Callable[[Request, Session], Awaitable[Response]]


def make_app(find: Find) -> Starlette:
    """Make the application; each path stands twice, with the session in it and without."""
    routes: Mapping[str, Endpoint] = {
        "POST /v1/chat/completions": _complete,
        "GET /v1/models": _models,
        "GET /task": _task,
        "GET /tools": _tools,
        "POST /tools/{name}": _use_tool,
        "POST /answer": _answer,
    }
    return Starlette(
        routes=[
            Route(f"{place}{path}", _guarded(endpoint, find), methods=[method])
            for words, endpoint in routes.items()
            for method, path in (words.split(),)
            for place in ("", "/s/{session}")
        ],
        exception_handlers={404: _no_route, 405: _no_route},
    )


async def _complete(request: Request, session: Session) -> Response:
    asked = read_request(await _read_whole(request))
    is_again = request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
    answer = await while_there(request, session.complete(asked, is_again=is_again))
    if await request.is_disconnected():
        session.lost(answer)
    model = asked.model or _MODEL
    if asked.streams:
        events = answer.to_events(model, counts=asked.counts)
        return Response(events, media_type="text/event-stream")
    return _json(answer.to_json(model))


async def _models(request: Request, session: Session) -> Response:
    model = {"id": _MODEL, "object": "model", "created": 0, "owned_by": _MODEL}
    return _json({"object": "list", "data": [model]})


async def _task(request: Request, session: Session) -> Response:
    return PlainTextResponse(_sendable(task_text(session.prompt)))


async def _tools(request: Request, session: Session) -> Response:
    if _wants_json(request):
        return _json([tool.to_openai() for tool in session.tools])
    return PlainTextResponse(_sendable(tools_text(session.tools)))


async def _use_tool(request: Request, session: Session) -> Response:
    body = await _read_whole(request)
    arguments = body.decode("utf-8", "replace").strip() or "{}"
    return _told(request, *await session.use_tool(request.path_params["name"], arguments))


async def _answer(request: Request, session: Session) -> Response:
    body = await _read_whole(request)
    return _told(request, *await session.answer(body.decode("utf-8", "replace")))


def _told(request: Request, text: str, is_over: bool) -> Response:
    if _wants_json(request):
        return _json({"content": text, "is_over": is_over})
    over = "[the episode has ended]" if is_over else ""
    return PlainTextResponse(_sendable("\n".join(filter(None, (text, over))) + "\n"))


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _guarded(endpoint: Endpoint, find: Find) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request, _session_of(request, find))
        except Refused as refused:
            return _json(refused.to_json(), status=refused.status)
        except ClientDisconnect:
            return Response(status_code=499)

    return guard


def _session_of(request: Request, find: Find) -> Session:
    """Return the session whose key is sent, before a byte of the body is read.

    Raises:
        Refused: there is none, it is not the one of the address, or it has ended.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    found = find(key.strip()) if scheme.lower() == "bearer" else None
    if isinstance(found, str):
        raise is_over(found)
    named = request.path_params.get("session")
    if found is None or named not in (None, found.id):
        raise Refused(
            401,
            "this key is not that of an open session; send `Authorization: Bearer KEY`, where "
            "OPENAI_API_KEY has the key",
            code="invalid_api_key",
        )
    return found


async def _read_whole(request: Request) -> bytes:
    try:
        return await read_bounded(request, most=LARGEST_BODY)
    except BadBody as bad:
        code = "body_too_large" if bad.status == 413 else "slow_body"
        raise Refused(bad.status, str(bad), code=code) from None


def _json(value: Any, *, status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, status, media_type="application/json")


def _sendable(text: str) -> str:
    """Replace what UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def _no_route(request: Request, error: Exception) -> Response:
    words = f"there is no {request.method[:20]} {request.url.path[:100]} here"
    refused = Refused(getattr(error, "status_code", 404), words, code="not_found")
    return _json(refused.to_json(), status=refused.status)
