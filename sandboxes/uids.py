"""Kernel users for sandboxes: one each, for the kernel counts inotify, pipes and keys by user."""

import socket
from pathlib import Path

from agentgym.errors import SandboxUnavailable

FIRST_UID = 200_000
UIDS = 1024
"""In one block: the sandboxes that one pool may hold at once."""
_BLOCKS = 64


def lock_block(first: int = FIRST_UID, size: int = UIDS) -> tuple[int, socket.socket]:
    """Reserve user ids among all processes of this network namespace, while the socket is open.

    Returns the first of `size`. An abstract socket's name is unique there, and free again when its
    last holder ends. Whoever shares the kernel but not the network, as another container may, can
    be given the same ids: then they count against each other. Any local user can hold all names.

    Raises:
        SandboxUnavailable: all of them are held.
    """
    for block in range(_BLOCKS):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0agentgym-uids-{block}")
        except OSError:
            lock.close()
            continue
        return first + block * size, lock
    raise SandboxUnavailable(
        f"all {_BLOCKS} blocks of user ids for sandboxes are taken",
        hint="end some of the processes that hold one: grep agentgym-uids /proc/net/unix",
    )


def check_mapped() -> None:
    """Check that this process can take on every one of these ids.

    Raises:
        SandboxUnavailable: it is in a user namespace that has too few.
    """
    last = FIRST_UID + _BLOCKS * UIDS
    ranges = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    if not any(int(first) <= last < int(first) + int(count) for first, _, count in ranges):
        raise SandboxUnavailable(
            "root of this container has too few user ids to give one to each sandbox",
            hint="run as an ordinary user",
        )
