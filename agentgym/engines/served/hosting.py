"""uvicorn as replica and front use it: quiet, without signals of its own, on a socket it is given."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_GRACE_S = 1  # for answers under way when it ends


class Server(uvicorn.Server):
    """Serves until `should_exit` is set."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_keep_alive=60,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which has more to end than this server."""
        yield


def listen_privately(path: str) -> socket.socket:
    """Return a unix socket; who may connect is a matter of the folder that it is in."""
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(path)
    taken.listen(1024)
    return taken
