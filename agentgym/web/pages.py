"""Servers of this machine, kept from the pages that its browsers show.

A browser lets any page connect a WebSocket, and a page can give its own name our address.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_NAMES = ("localhost", "127.0.0.1", "::1")
_CHECKED = (b"host", b"origin")


def kept_from_pages(app: ASGIApp, *, host: str) -> ASGIApp:
    """Return an application that answers nobody by a name that is not of this machine.

    Where `host`, on which it listens, is reached by other machines, it goes by names that nobody
    here knows, and all are answered.
    """
    if not _is_loopback(host):
        return app
    known = {*_NAMES, host}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (name.lower(), value.decode("latin-1")) for name, value in scope.get("headers", ())
        ]
        named = [_name(value) for name, value in headers if name in _CHECKED]
        if scope["type"] == "lifespan" or known.issuperset(named):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refusal = PlainTextResponse("a page of another site asks, or by another name", 403)
            await refusal(scope, receive, send)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(value: str) -> str:
    """Return the name in a header, without its port.

    >>> [_name(each) for each in ("http://localhost:1", "[::1]:80", "a.b", "null", "http://[")]
    ['localhost', '::1', 'a.b', 'null', '']
    """
    try:
        return urlsplit(value if "://" in value else f"//{value}").hostname or ""
    except ValueError:
        return ""
