"""uvicorn inside of a program: quiet, without signals of its own, on a socket it is given."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

_GRACE_S = 1  # for answers under way when it ends
_KEPT_S = 60  # a connection on which nothing is asked


class Server(uvicorn.Server):
    """Serves until `should_exit` is set."""

    def __init__(self, app: ASGIApp, *, has_lifespan: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="on" if has_lifespan else "off",
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_keep_alive=_KEPT_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which has more to end than this server."""
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, taken: socket.socket, *, has_lifespan: bool = False
) -> AsyncIterator[None]:
    """Answer requests on a socket while the block runs.

    `has_lifespan` says whether the application is to be told when that begins and ends.
    """
    server = Server(app, has_lifespan=has_lifespan)
    running = asyncio.create_task(server.serve(sockets=[taken]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({running})
        running.result()
