"""The containers of one pool: their names and users, and the threads that wait for the engine."""

import asyncio
import itertools
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.docker.container import Container
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.uids import FIRST_UID, UIDS, lock_block

T = TypeVar("T")

_CLOSE_S = 10.0
_FEW_FIRST_UID, _FEW_UIDS = 10_000, 512  # all blocks of these are below 65536


class Fleet:
    """All that is running, or was asked for, or is being removed."""

    def __init__(self, run: str) -> None:
        self.run = run
        # More at once only make each other slower, for the engine starts one after the other.
        self._threads = ThreadPoolExecutor(2 * (os.cpu_count() or 1), run)
        self._numbers = itertools.count()
        self._engine: Engine | None = None
        self._uids: list[int] = []
        self._lock: socket.socket | None = None
        self._containers: set[Container] = set()
        self._closed = False

    async def ask(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something that waits for the engine, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def connect(self, base_url: str | None) -> Engine:
        """Connect to the engine.

        Raises:
            SandboxUnavailable: there is none, or it is not ours to use.
        """
        self._engine = await self.ask(Engine, base_url)
        return self._engine

    def take_uids(self, *, few: bool) -> None:
        """Reserve users for the containers; `few`: below 65536.

        Raises:
            SandboxUnavailable: too many processes of this machine have sandboxes.
        """
        first, size = (_FEW_FIRST_UID, _FEW_UIDS) if few else (FIRST_UID, UIDS)
        first, self._lock = lock_block(first, size)
        self._uids = list(reversed(range(first, first + size)))

    def add(self) -> Container:
        """Return a container that does not exist yet, with a user that no other one has.

        Raises:
            SandboxUnavailable: there are too many, or there will be no more.
        """
        if self._engine is None or self._closed:
            raise SandboxUnavailable("these sandboxes are closed")
        if not self._uids:
            raise SandboxUnavailable(
                f"{len(self._containers)} sandboxes are held already",
                hint="run fewer episodes at once",
            )
        name = f"{self.run}-{next(self._numbers)}"
        container = Container(name, self._uids.pop(), self._engine, self._threads)
        self._containers.add(container)
        container.gone.add_done_callback(lambda _: self._remove(container))
        return container

    async def close(self) -> None:
        """Remove all of them, as far as the engine still answers."""
        self._closed = True
        for container in self._containers:
            container.kill()
        if self._containers:
            await asyncio.wait([each.gone for each in self._containers], timeout=_CLOSE_S)
        for container in self._containers:
            container.give_up()
        if self._engine:
            self._engine.close()
        if self._lock:
            self._lock.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remove(self, container: Container) -> None:
        self._containers.discard(container)
        self._uids.append(container.uid)
