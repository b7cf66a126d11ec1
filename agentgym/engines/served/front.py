"""What `agentgym serve` answers: who asks is known by a token, and bodies go on as they came."""

import asyncio
import hashlib
import hmac
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agentgym.engines.served.answering import (
    Refused,
    answer,
    make_routes,
    read_whole,
    session_of,
)
from agentgym.engines.served.fleet import Fleet
from agentgym.engines.served.holds import Mode
from agentgym.engines.served.wire import (
    LARGEST_BODY,
    RESTARTS,
    SESSION,
    SIGHT,
    Hold,
    Sight,
    Weights,
    read_body,
)
from agentgym.web.requests import while_there

T = TypeVar("T")

_SIGHT_BYTES = 256
_FORWARDED = ("content-type", "retry-after")


def make_front(fleet: Fleet, *, token: str, weights_dir: Path) -> ASGIApp:
    """Make the application of a fleet; weights can be handed over in `weights_dir`."""
    return _Guard(make_routes(_Desk(fleet, weights_dir).routes()), token)


class _Desk:
    def __init__(self, fleet: Fleet, weights_dir: Path) -> None:
        self._fleet = fleet
        self._weights_dir = weights_dir
        self._finishing: set[asyncio.Task[Any]] = set()

    def routes(self) -> dict[str, Any]:
        """Return the endpoints by method and path."""
        return {
            "GET /status": self.status,
            "POST /generate": self.ask,
            "POST /logprobs": self.ask,
            "POST /release": self.release,
            "POST /weights": self.weights,
            "POST /sees": self.sees,
            "POST /pause": self.pause,
            "POST /resume": self.resume,
            "POST /sleep": self.sleep,
            "POST /wake": self.wake,
        }

    async def status(self, request: Request) -> Response:
        """Tell what is served, and how it is."""
        return self._answer({**self._fleet.to_json(), "weights_dir": str(self._weights_dir)})

    async def ask(self, request: Request) -> Response:
        """Hand a request on to a replica; it ends where the client goes away."""
        session_of(request)  # refuses names that are too long
        session = request.headers.get(SESSION)
        body = await read_whole(request)
        work = self._fleet.forward(request.url.path, body, session=session)
        reply = await while_there(request, work)
        headers = {name: reply.headers[name] for name in _FORWARDED if name in reply.headers}
        headers[RESTARTS] = str(self._fleet.restarts)
        return Response(reply.body, reply.status, headers=headers)

    async def release(self, request: Request) -> Response:
        """Forget a session."""
        session_of(request)
        if session := request.headers.get(SESSION):
            await self._fleet.release(session)
        return self._answer({})

    async def weights(self, request: Request) -> Response:
        """Put weights in use, to the end, whether or not the client waits for it."""
        asked = read_body(Weights, await read_whole(request))
        await self._finish(self._fleet.switch(asked))
        return self._answer({"version": asked.version})

    async def sees(self, request: Request) -> Response:
        """Tell whether a file that a client wrote can be read here."""
        asked = read_body(Sight, await read_whole(request))
        file = Path(asked.file)
        if not file.name.startswith(SIGHT):
            raise Refused(400, f"the file must be called {SIGHT}...", kind="caller")
        try:
            found = await asyncio.to_thread(_digest, file)
        except (OSError, ValueError):
            found = ""
        return self._answer({"sees": hmac.compare_digest(found, asked.digest[:64])})

    async def pause(self, request: Request) -> Response:
        """Stop decoding until released, or not renewed."""
        return await self._hold(request, Mode.PAUSED)

    async def resume(self, request: Request) -> Response:
        """Go on decoding, unless others hold the engines."""
        return await self._hold(request, Mode.PAUSED, ends=True)

    async def sleep(self, request: Request) -> Response:
        """Give the memory back until released, or not renewed."""
        return await self._hold(request, Mode.ASLEEP)

    async def wake(self, request: Request) -> Response:
        """Take memory again, with the weights that were in use."""
        return await self._hold(request, Mode.ASLEEP, ends=True)

    async def _hold(self, request: Request, mode: Mode, *, ends: bool = False) -> Response:
        asked = read_body(Hold, await read_whole(request))
        lease_s = None if ends else asked.lease_s
        await self._finish(self._fleet.hold(asked.holder, mode, lease_s=lease_s))
        return self._answer({"mode": self._fleet.mode.name.lower()})

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end: a client that goes away leaves nothing half done."""
        task = asyncio.create_task(work)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return await asyncio.shield(task)

    def _answer(self, value: Any) -> Response:
        return answer(value, headers={RESTARTS: str(self._fleet.restarts)})


class _Guard:
    """Refuses who does not have the token, before a byte of the body is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if refused := self._refusal(dict(scope["headers"])):
            response = refused.response()
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes]) -> Refused | None:
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, self._expected):
            what = "the token is not that of this server" if given else "the token is missing"
            hint = "send `Authorization: Bearer TOKEN`; agentgym serve tells where it is"
            return Refused(401, what, kind="token", hint=hint)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 15 or int(length) > LARGEST_BODY):
            most = f"at most {LARGEST_BODY >> 20} MiB"
            return Refused(413, f"the body is too large, {most}", kind="caller")
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.sha256(opened.read(_SIGHT_BYTES)).hexdigest()
