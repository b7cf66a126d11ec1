"""The server as a process: uvicorn, and an end at once by Ctrl-C."""

import gc
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from agentgym.viewer.app import make_app
from agentgym.viewer.forks import Forks
from agentgym.viewer.guard import Door
from agentgym.viewer.runs import OpenRuns
from agentgym.viewer.tail import Tail

_CONNECTIONS = 256
_SWITCH_S = 0.0005  # 5 ms otherwise, so long does a short answer wait for a long one at every turn
_OBJECTS = 20_000  # between two collections, which took a fifth of the time of a long record


def serve(
    runs: OpenRuns,
    taken: socket.socket,
    door: Door,
    *,
    on_start: Callable[[], None],
    why_no_fork: str | None = None,
) -> None:
    """Answer requests until a signal comes; `on_start` is called when that begins.

    `why_no_fork` says why nothing is forked here; None: forks are processes that end with this one.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    gc.set_threshold(_OBJECTS)
    sys.setswitchinterval(_SWITCH_S)
    tail, forks = Tail(runs), Forks()
    config = uvicorn.Config(
        make_app(runs, door, tail=tail, forks=forks, why_no_fork=why_no_fork),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )

    def begin() -> None:
        on_start()
        runs.start()  # not before: it may import an environment, and stdout is elsewhere meanwhile

    server = _Server(config, begin)
    tail.is_stopping = lambda: server.should_exit
    try:
        server.run(sockets=[taken])
    finally:
        forks.close()
        runs.close()


class _Server(uvicorn.Server):
    """Tells when it answers, and lets the second Ctrl-C end everything."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets=sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once: no request changes anything that could be lost."""
        super().handle_exit(sig, frame)
        self.force_exit = True
