"""Where a server listens."""

import errno
import socket

from agentgym.errors import AgentGymError, ConfigError

_WAITING = 1024  # connections that nobody has accepted yet


class PortError(AgentGymError):
    """Raised where another program listens already."""


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 is any free one.

    Raises:
        PortError: another program has it; one that is free is named.
        ConfigError: this machine has no such address, or nobody may listen there.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"no address of this machine is called {host!r}: {error}") from error
    taken = socket.socket(found[0], found[1])
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or answers wait 40 ms
        taken.bind(found[4])
        taken.listen(_WAITING)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return taken


def listen_privately(path: str) -> socket.socket:
    """Return a unix socket; who may connect is a matter of the folder that it is in."""
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(path)
    taken.listen(_WAITING)
    return taken


def _taken(host: str, port: int) -> PortError:
    with listen(host, 0) as other:
        free = other.getsockname()[1]
    return PortError(
        f"another program listens on port {port} of {host}",
        hint=f"--port {free} is free; --port 0 takes any",
    )
