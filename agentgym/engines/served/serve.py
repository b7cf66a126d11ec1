"""The process of `agentgym serve`: replicas, the front, and an end of both by one Ctrl-C."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentgym.engines.served.devices import share_out, visible_gpus
from agentgym.engines.served.fleet import Fleet
from agentgym.engines.served.front import make_front
from agentgym.engines.served.replica import Job
from agentgym.engines.served.service import Service
from agentgym.engines.served.supervised import Replica
from agentgym.errors import ConfigError
from agentgym.web.server import Server

_SHORTEST_TOKEN = 16
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    service: Service,
    taken: socket.socket,
    *,
    token: str,
    directory: Path,
    on_change: Callable[[Fleet], None],
) -> None:
    """Answer requests on a socket until Ctrl-C or SIGTERM; the second one ends it at once.

    Raises:
        KeyboardInterrupt: it was ended so.
        ConfigError, MissingError: no engine can be started like this.
        EngineError: every replica was given up.
    """
    asyncio.run(_run(service, taken, token=token, directory=directory, on_change=on_change))
    raise KeyboardInterrupt


async def _run(
    service: Service,
    taken: socket.socket,
    *,
    token: str,
    directory: Path,
    on_change: Callable[[Fleet], None],
) -> None:
    fleet = Fleet(
        lambda changed: _replicas(service, directory, changed),
        model_folder=service.model.path,
        limits=service.limits,
        on_change=on_change,
    )
    server = Server(make_front(fleet, token=token, weights_dir=directory / "weights"))
    _end_by_signals(server, fleet)
    running = asyncio.ensure_future(fleet.run())
    running.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await server.serve(sockets=[taken])
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running  # raises what it ended of


def _end_by_signals(server: Server, fleet: Fleet) -> None:
    """Let the first signal end everything in good order, and the second one at once."""

    def end() -> None:
        if server.should_exit:
            fleet.kill()
            server.force_exit = True
        server.should_exit = True

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, end)


def _replicas(service: Service, directory: Path, on_change: Callable[[], None]) -> list[Replica]:
    shares = share_out(
        [] if service.model.device == "cpu" else visible_gpus(),
        replicas=service.replicas,
        each=getattr(service.engine, "tensor_parallel", 1),
    )
    return [
        Replica(
            number,
            Job(
                model=service.model,
                engine=service.engine.model_dump(),
                socket=str(directory / f"{number}.sock"),
                deterministic=service.deterministic,
            ),
            log=directory / f"{number}.log",
            environment=share,
            limits=service.limits,
            on_change=on_change,
        )
        for number, share in enumerate(shares)
    ]


def find_token(path: Path | None, *, directory: Path) -> tuple[str, Path]:
    """Return the token and the file that it is in: that of a file, or one made here.

    Raises:
        ConfigError: the file cannot be read or written, or holds no token.
    """
    file = path or directory / "token"
    try:
        token = file.read_text("ascii").strip() if file.exists() else ""
        if token and file.stat().st_mode & 0o077:
            raise ConfigError(
                f"others can read the token file {str(file)!r}", hint=f"chmod 600 {file}"
            )
        if not token:
            token = secrets.token_urlsafe(32)
            descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(token + "\n")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"the token file {str(file)!r} cannot be used: {error}") from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{str(file)!r} holds no token of {_SHORTEST_TOKEN} letters or more",
            hint="empty the file, and one is made",
        )
    return token, file
