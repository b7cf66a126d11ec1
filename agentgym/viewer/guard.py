"""Who may ask the server, and what its answers may do in a browser.

A page of another site can make a browser send requests here, and can give its own name our
address. So the name that was asked for must be ours, and a request of another page is refused.
Answers bear a policy under which nothing but our own files runs, whatever text is in them.

Other people on this machine can ask, too. What is changed here, and what starts a process, needs a
token, which only the address that the command printed has: in its fragment, which browsers send
nowhere, and from which the pages take it. A browser that is opened by the command is given an
address that leads there once. Where other machines can ask, reading needs it as well.
Pages keep it by the origin; a cookie would be sent to the servers of others on other ports.
"""

import hmac
import ipaddress
import json
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_TARGET = 16_384
"""Bytes of path and query."""

LARGEST_BODY = 65_536
"""Bytes that may be sent here."""

IS_OWNER = "agentgym.is_owner"
"""What a scope says of a request: whether it has the token."""

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_METHODS = ("GET", "HEAD", "POST")
_PAGES = ("", "run", "compare", "static")  # what such addresses begin with has nothing of a run
_WAY = "open"  # what the address begins with that leads to the token
_TAIL = "/api/tail"  # browsers send no header where they listen


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens, and the token of who started it."""

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    way: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """What leads to the token, once."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        address = _address(self.host)
        return address is not None and address.is_loopback

    @property
    def url(self) -> str:
        """What to open in a browser, with the token."""
        return self.at("")

    def at(self, page: str) -> str:
        """Return the same for a page: what stands behind the first slash."""
        return f"{self._root}{page}#token={self.token}"

    def way_to(self, page: str) -> str:
        """Return what leads to the same, once: others of this machine see what a browser is given."""
        return f"{self._root}{_WAY}/{self.way}/{page}"

    @property
    def _root(self) -> str:
        name = _bracketed(socket.gethostname() if self._is_any else self.host)
        return f"http://{name}:{self.port}/"

    def knows(self, host: str) -> bool:
        """Return whether a Host header names this server."""
        name, _, port = host.lower().rpartition(":")
        if not name and self.port == 80:
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        if self._is_any:  # a name of somebody else that leads here is no number
            ours = (*_LOOPBACK_NAMES, socket.gethostname().lower())
            return name in ours or _address(name.strip("[]")) is not None
        return name == _bracketed(self.host.lower()) or (
            self.is_loopback and name in _LOOPBACK_NAMES
        )

    @property
    def _is_any(self) -> bool:
        address = _address(self.host)
        return address is not None and address.is_unspecified


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._is_way_used = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on; the answer gets its headers either way."""
        if scope["type"] != "http":
            return
        harden = _hardened(send)
        request = _Asked(scope)
        if wrong := self._refusal(request):
            await _answer(harden, *wrong)
        elif request.parts[0] == _WAY:
            await _lead(harden, self._taken(request))
        else:
            known = {**scope, IS_OWNER: self._has_token(request)}
            await self._app(known, _limited(receive), harden)

    def _refusal(self, request: "_Asked") -> tuple[int, str, str] | None:
        """Return status, error and hint where a request may not pass."""
        if request.method not in _METHODS:
            return 405, f"no method {request.method[:20]}", "GET and POST are known"
        if request.length > LONGEST_TARGET:
            return 414, "the address is too long", f"at most {LONGEST_TARGET} bytes"
        if len(request.hosts) != 1 or not self._door.knows(request.hosts[0]):
            return 421, "this server has another name", f"open {self._door_hint}"
        origins = [each for each in request.origins if each != f"http://{request.hosts[0]}"]
        if origins:
            return 403, "a page of another site asks", "open this server in a tab of its own"
        if request.body_bytes > LARGEST_BODY:
            return 413, "too much was sent", f"at most {LARGEST_BODY} bytes"
        if self._has_token(request) or self._is_open(request):
            return None
        what = "this page may only read" if self._door.is_loopback else "the token is missing"
        return 401, what, "open the address that agentgym view printed, with its #token"

    def _taken(self, request: "_Asked") -> str:
        """Return where the way leads, which is used by that; with the token the first time."""
        _, given, *rest = [*request.parts, ""]
        page = "/" + "/".join(rest).strip("/\\")  # `//host` would be another site
        page += f"?{request.words}" if request.words else ""
        if self._is_way_used or not _same(given, self._door.way):
            return page
        self._is_way_used = True
        return f"{page}#token={self._door.token}"

    def _is_open(self, request: "_Asked") -> bool:
        """Whether anybody may ask this who can connect."""
        if request.method == "POST":
            return False
        return self._door.is_loopback or request.parts[0] in (*_PAGES, _WAY)

    @property
    def _door_hint(self) -> str:
        door = self._door
        name = _bracketed(door.host)
        return f"http://{name}:{door.port}/; a tunnel has the same port on both sides"

    def _has_token(self, request: "_Asked") -> bool:
        given = [request.bearer, request.query.get("token") if request.path == _TAIL else None]
        return any(_same(each, self._door.token) for each in given if each)


class _Asked:
    """What the guard looks at in a request."""

    def __init__(self, scope: Scope) -> None:
        self.method = str(scope["method"])
        raw = bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape"))
        query = bytes(scope.get("query_string") or b"")
        self.path = raw.split(b"?")[0].decode("latin-1")
        self.parts = self.path.removeprefix("/").split("/")
        self.words = query.decode("latin-1")
        self.length = len(raw) + len(query)
        self.query = (
            dict(parse_qsl(self.words, keep_blank_values=True, max_num_fields=200))
            if self.length <= LONGEST_TARGET and query.count(b"&") < 200
            else {}
        )
        self._headers = [
            (bytes(name).lower(), bytes(value).decode("latin-1"))
            for name, value in scope["headers"]
        ]
        self.hosts = self._all(b"host")
        self.origins = self._all(b"origin")

    @property
    def body_bytes(self) -> int:
        """What a request says that it sends."""
        values = self._all(b"content-length")
        return int(values[0]) if values and values[0].isdecimal() and len(values[0]) < 19 else 0

    @property
    def bearer(self) -> str | None:
        """The token of the header Authorization."""
        kind, _, value = next(iter(self._all(b"authorization")), "").partition(" ")
        return value.strip() if kind.lower() == "bearer" else None

    def _all(self, name: bytes) -> list[str]:
        return [value for key, value in self._headers if key == name]


def _hardened(send: Send) -> Send:
    async def harden(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {bytes(name).lower() for name, _ in message.get("headers", ())}
            more = _HEADERS | ({} if b"cache-control" in given else {b"cache-control": b"no-store"})
            kept = [(name, value) for name, value in message.get("headers", ())]
            message = {**message, "headers": [*kept, *more.items()]}
        await send(message)

    return harden


def _limited(receive: Receive) -> Receive:
    """Cut a body that is longer than it said."""
    left = LARGEST_BODY

    async def limit() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return limit


async def _answer(send: Send, status: int, error: str, hint: str) -> None:
    body = json.dumps({"error": error, "hint": hint}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lead(send: Send, to: str) -> None:
    headers = [(b"location", to.encode("latin-1")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
