"""What replica and front share as servers: bodies within limits, and errors as JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agentgym.engines.served.wire import LARGEST_BODY, LONGEST_SESSION, SESSION, Malformed
from agentgym.errors import AgentGymError
from agentgym.web.requests import BadBody, read_bounded

Kind = Literal["caller", "token", "busy", "away", "engine"]
"""Whose fault it is: what was asked, who asked; too much is asked; nobody is there yet; ours."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Refused(Exception):  # noqa: N818  an answer, not a fault of this server
    """Raised where a request is answered by an error."""

    def __init__(
        self,
        status: int,
        error: str,
        *,
        kind: Kind,
        hint: str | None = None,
        after_s: float | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.kind = kind
        self.hint = hint
        self.after_s = after_s
        """What the client is asked to wait before it asks again."""

    def response(self) -> Response:
        """Return the answer."""
        told = {"error": str(self), "hint": self.hint, "kind": self.kind}
        headers = {} if self.after_s is None else {"Retry-After": f"{self.after_s:g}"}
        return answer(told, status=self.status, headers=headers)


def answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, status, headers=headers, media_type="application/json")


def make_routes(routes: dict[str, Endpoint]) -> Starlette:
    """Make an application of `METHOD /path`; whatever goes wrong is answered by JSON."""
    return Starlette(
        routes=[
            Route(words.split()[1], _guarded(endpoint), methods=[words.split()[0]])
            for words, endpoint in routes.items()
        ],
        exception_handlers={404: _no_route, 405: _no_route},
    )


async def read_whole(request: Request) -> bytes:
    """Read the body of a request.

    Raises:
        Refused: it is too large, or too slow.
    """
    try:
        return await read_bounded(request, most=LARGEST_BODY)
    except BadBody as bad:
        raise Refused(bad.status, str(bad), kind="caller") from None


def session_of(request: Request) -> str | None:
    """Return the session that a request names.

    Raises:
        Refused: the name is too long.
    """
    given = request.headers.get(SESSION)
    if given is not None and len(given) > LONGEST_SESSION:
        raise Refused(
            400, f"a session's name has at most {LONGEST_SESSION} characters", kind="caller"
        )
    return None if given is None else unquote(given)


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refused:
            return refused.response()
        except Malformed as error:
            return Refused(400, f"the request is malformed: {error}", kind="caller").response()
        except ClientDisconnect:
            return Response(status_code=499)
        except AgentGymError as error:
            return Refused(500, str(error), kind="engine", hint=error.hint).response()

    return guard


async def _no_route(request: Request, error: Exception) -> Response:
    words = f"there is no {request.method[:20]} {request.url.path[:100]} here"
    status = getattr(error, "status_code", 404)
    return Refused(status, words, kind="caller").response()
