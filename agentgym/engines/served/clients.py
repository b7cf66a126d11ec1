"""Several httpx clients in the place of one, for hundreds of requests under way."""

import asyncio
import itertools
from collections.abc import Callable

import httpx

_NUMBER = 16


class Clients:
    """Takes its clients in turn.

    A client looks through all its requests and connections whenever a request begins or ends:
    with 128 under way in one of them that took ten times as long as the rest of a request.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._clients = [make() for _ in range(_NUMBER)]
        self._turn = itertools.cycle(self._clients)

    def next(self) -> httpx.AsyncClient:
        """Return the client for the next request."""
        return next(self._turn)

    async def close(self) -> None:
        """Close their connections. Idempotent."""
        await asyncio.gather(*[client.aclose() for client in self._clients])
