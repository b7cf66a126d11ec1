"""One container, from before its creation until nothing of it is left."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from concurrent.futures import Executor
from typing import Any

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes import cgroups
from agentgym.sandboxes.docker.attach import AttachedChannel
from agentgym.sandboxes.docker.engine import Engine, EngineTimeout

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 5.0
_LATE_S = 60.0  # a container whose creation took too long may still come to be


class Container:
    """A container by its name, which exists before it does."""

    def __init__(self, name: str, uid: int, engine: Engine, threads: Executor) -> None:
        """Call it where an event loop runs."""
        self.name = name
        self.uid = uid
        self.id = ""
        self.pid = 0
        """Of its worker, where the engine is; 0: unknown."""
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        """Done when nothing of it is left."""
        self._engine = engine
        self._threads = threads
        self._launching: asyncio.Future[None] | None = None
        self._socket: socket.socket | None = None
        self._unwanted = False
        self._may_come_late = False
        self._removal: asyncio.Task[None] | None = None

    async def launch(self, specification: dict[str, Any]) -> AttachedChannel:
        """Create, attach, start; whatever comes of it, `kill` has it removed.

        Raises:
            SandboxUnavailable: the engine refused, or does not answer.
        """
        self._launching = self._loop.run_in_executor(self._threads, self._launch, specification)
        await asyncio.shield(self._launching)
        if self._socket is None:
            raise SandboxUnavailable(f"container {self.name} was given up while it was launched")
        channel = AttachedChannel(self._socket)
        self._socket = None
        return channel

    def kill(self) -> None:
        """Have it removed, without waiting; `gone` says when it is."""
        self._unwanted = True
        if self._removal is None:
            self._removal = self._loop.create_task(self._remove())

    def give_up(self) -> None:
        """Leave it to the reaper of a later start."""
        if self._removal:
            self._removal.cancel()
        if not self.gone.done():
            self.gone.set_result("it is left to the reaper")

    def _launch(self, specification: dict[str, Any]) -> None:
        """Runs in a thread, to its end even if nobody waits for it any more."""
        try:
            if self._unwanted:
                return
            self._engine.create(self.name, specification)
            self._socket = self._engine.attach(self.name)
            if self._unwanted:
                return
            self._engine.start(self.name)
            found = self._engine.inspect(self.name)
            if found:
                self.id, self.pid = found["Id"], found["State"]["Pid"]
        except EngineTimeout:
            self._may_come_late = True
            raise

    async def _remove(self) -> None:
        """Try until it is gone, however long the engine is away."""
        if self._launching:
            await asyncio.wait([self._launching])
            if not self._launching.cancelled():
                self._launching.exception()  # known to whoever launched it
        if self._socket:
            self._socket.close()
        until = time.monotonic() + (_LATE_S if self._may_come_late else 0)
        pause_s = _FIRST_PAUSE_S
        while not await self._try_to_remove(until):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self.gone.set_result("it was removed")

    async def _try_to_remove(self, until: float) -> bool:
        """Return whether it is gone; one that is not there may come to be `until` then."""
        try:
            found = await self._loop.run_in_executor(self._threads, self._engine.remove, self.name)
        except SandboxUnavailable as error:
            logger.warning("container %s cannot be removed yet: %s", self.name, error)
            self._kill_worker()
            return False
        return found == "removed" or (found == "absent" and time.monotonic() >= until)

    def _kill_worker(self) -> None:
        """End it without its engine, which may be away for long, where it runs on this machine.

        The control group is asked for after the process is held: it proves which one it is.
        """
        with contextlib.suppress(OSError):
            worker = os.pidfd_open(self.pid)
            try:
                if cgroups.of_process(self.pid, self.id):
                    signal.pidfd_send_signal(worker, signal.SIGKILL)
            finally:
                os.close(worker)
