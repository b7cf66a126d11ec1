"""Bodies are read within limits of size and time, and work ends with the client that wanted it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from agentgym.web import requests
from agentgym.web.requests import BadBody, read_bounded, while_there


def request(*messages: dict[str, Any], **headers: str) -> Request:
    """Return a request to which a client sends some messages, and then nothing for ever."""
    left: Iterator[dict[str, Any]] = iter(messages)

    async def receive() -> dict[str, Any]:
        if (message := next(left, None)) is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": given}, receive)


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_is_read_up_to_its_limit() -> None:
    asked = request(part(b"ab", more=True), part(b"cd", more=False), content_length="4")
    assert await read_bounded(asked, most=4) == b"abcd"


@pytest.mark.parametrize(
    "asked",
    [
        request(content_length="5"),  # nothing of it is read
        request(content_length="9" * 5000),
        request(part(b"abc", more=True), part(b"de", more=True)),
        request(part(b"abc", more=True), part(b"de", more=True), content_length="3"),
    ],
    ids=["declared", "endless number", "undeclared", "a lie"],
)
async def test_what_is_too_large_is_refused(asked: Request) -> None:
    with pytest.raises(BadBody, match="too large") as raised:
        await read_bounded(asked, most=4)
    assert raised.value.status == 413


async def test_who_stops_in_the_middle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_BODY_S", 0.02)
    with pytest.raises(BadBody, match="took more than") as raised:
        await read_bounded(request(part(b"ab", more=True)), most=4)
    assert raised.value.status == 408


async def test_work_ends_when_the_client_goes_away() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(ClientDisconnect):
        await while_there(request({"type": "http.disconnect"}), work())
    assert ended.is_set()


async def test_work_returns_and_raises_to_a_client_that_stays() -> None:
    async def work(fails: bool) -> int:
        if fails:
            raise ValueError("no")
        return 1

    assert await while_there(request(), work(False)) == 1
    with pytest.raises(ValueError, match="no"):
        await while_there(request(), work(True))
