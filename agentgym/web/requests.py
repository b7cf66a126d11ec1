"""Requests of clients that may send without end, and may go away."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")

_BODY_S = 60.0  # for a whole body: who sends byte after byte holds nothing for long


class BadBody(Exception):  # noqa: N818  an answer, not a fault of the server
    """Raised where a body is not read to its end; `status` is what HTTP calls that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_bounded(request: Request, *, most: int) -> bytes:
    """Read the body of a request, of `most` bytes.

    Raises:
        BadBody: it is too large (413), which may be known from its head, or too slow (408).
        ClientDisconnect: the client went away.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 15 or int(length) > most):
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise BadBody(408, f"the body took more than {_BODY_S:g} s") from None
    return bytes(body)


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what work comes to; it is cancelled when the client goes away.

    Raises:
        ClientDisconnect: the client went away.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientDisconnect
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(most: int) -> BadBody:
    return BadBody(413, f"the body is too large, at most {most >> 20} MiB")
