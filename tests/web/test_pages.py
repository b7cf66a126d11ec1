"""A server of this machine answers no page of another site, by HTTP and by WebSocket."""

from typing import Any

import pytest

from agentgym.web.pages import kept_from_pages


async def answered(place: str, kind: str, **headers: str) -> list[dict[str, Any]]:
    """Return what is answered to a request of a server on `place`."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "passed"})

    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": "GET", "path": "/", "headers": given}
    await kept_from_pages(app, host=place)(scope, receive, send)
    return sent


PASSED = [{"type": "passed"}]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8200"},
        {"host": "localhost:9", "origin": "http://localhost:3000"},
        {"host": "[::1]:8200", "origin": "https://127.0.0.1"},
        {},
    ],
)
async def test_programs_and_pages_of_this_machine_pass(kind: str, headers: dict[str, str]) -> None:
    assert await answered("127.0.0.1", kind, **headers) == PASSED


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8200", "origin": "http://evil.com"},
        {"host": "127.0.0.1:8200", "origin": "null"},
        {"host": "127.0.0.1:8200", "origin": "http://127.0.0.1.evil.com"},
        {"host": "127.0.0.1:8200", "origin": "http://127.0.0.1@evil.com"},
        {"host": "evil.com:8200"},
        {"host": "["},
        {"host": ""},
    ],
)
async def test_pages_of_other_sites_and_other_names_are_refused(headers: dict[str, str]) -> None:
    assert (await answered("localhost", "http", **headers))[0]["status"] == 403
    assert await answered("::1", "websocket", **headers) == [
        {"type": "websocket.close", "code": 1008}
    ]


async def test_what_other_machines_reach_goes_by_any_name() -> None:
    headers = {"host": "gym.example:80", "origin": "http://gym.example"}
    assert await answered("0.0.0.0", "http", **headers) == PASSED
    assert await answered("127.0.0.1", "lifespan") == PASSED
