"""One replica, kept alive: started, watched, restarted, and given up where that does not help."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from agentgym.engines.served.process import ReplicaGone, ReplicaProcess, Reply, last_lines
from agentgym.engines.served.replica import Job
from agentgym.engines.served.service import Limits
from agentgym.errors import AgentGymError, ConfigError, MissingError

logger = logging.getLogger(__name__)

State = Literal["starting", "loading", "up", "restarting", "failed", "ending"]

_STABLE_S = 60.0  # up for so long, a replica did not die of its start
_MOST_WAIT_S = 30.0
_GRACE_S = 5.0


class Replica:
    """A place for a replica's process. Requests go to it only where `is_up`."""

    def __init__(
        self,
        number: int,
        job: Job,
        *,
        log: Path,
        environment: Mapping[str, str],
        limits: Limits,
        on_change: Callable[[], None],
    ) -> None:
        self.number = number
        self.state: State = "starting"
        self.why = ""
        """What the last process ended of."""
        self.restarts = 0
        self.in_flight = 0
        self.process: ReplicaProcess | None = None
        self.failing_since: float | None = None
        """When an engine that has answered with nothing but faults since did so first."""
        self._job, self._log, self._environment = job, log, environment
        self.limits = limits
        self._on_change = on_change
        self._unwanted = asyncio.Event()
        self._was_up = False

    @property
    def is_up(self) -> bool:
        """Whether it may be asked."""
        return self.state == "up"

    def set_state(self, state: State) -> None:
        """Change the state, and say so."""
        if state != self.state:
            self.state = state
            self._on_change()

    def note(self, status: int) -> None:
        """Take note of what a request was answered with."""
        if status < 500:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = time.monotonic()

    def restart(self, why: str) -> None:
        """Let it be killed and started again; from now on nobody asks it."""
        self.why = why
        self.set_state("restarting")
        self._unwanted.set()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit_s: float | None = None,
    ) -> Reply:
        """Ask its process.

        Raises:
            ReplicaGone: there is none, or it did not answer.
        """
        if self.process is None:
            raise ReplicaGone("it is being started")
        return await self.process.ask(method, path, body=body, headers=headers, limit_s=limit_s)

    async def run(self, admit: Callable[["Replica"], Awaitable[None]]) -> None:
        """Keep it alive until cancelled or given up; `admit` is called before it is asked anything.

        Raises:
            ConfigError, MissingError: it never was up, and never will be.
        """
        failures = 0
        while failures < self.limits.failures:
            began = time.monotonic()
            try:
                self.why = await self._live(admit)
            except (AgentGymError, ReplicaGone) as error:
                if isinstance(error, ConfigError | MissingError) and not self._was_up:
                    raise
                self.why = str(error)
            failures = 1 if time.monotonic() - began > _STABLE_S else failures + 1
            logger.warning("replica %d: %s", self.number, self.why)
            if failures < self.limits.failures:
                self.restarts += 1
                await asyncio.sleep(min(_MOST_WAIT_S, 0.5 * (2 ** (failures - 1) - 1)))
        self.set_state("failed")

    def to_json(self) -> dict[str, Any]:
        """Return what the status says of it."""
        return {
            "number": self.number,
            "pid": self.process.pid if self.process else None,
            "state": self.state,
            "in_flight": self.in_flight,
            "restarts": self.restarts,
            "why": self.why,
        }

    async def _live(self, admit: Callable[["Replica"], Awaitable[None]]) -> str:
        """Live one life and return what ended it."""
        self._unwanted.clear()
        self.failing_since = None
        if self.restarts == 0:
            self.set_state("starting")
        process = await ReplicaProcess.start(
            self._job, log=self._log, environment=self._environment, limit_s=self.limits.start_s
        )
        self.process = process
        grace_s = 0.0
        try:
            self.set_state("loading")
            await admit(self)
            self._was_up = True
            return await self._watch(process)
        except asyncio.CancelledError:
            grace_s = _GRACE_S
            raise
        finally:
            self.set_state("ending" if grace_s else "restarting")
            try:
                await process.stop(grace_s)
            finally:
                self.process = None

    async def _watch(self, process: ReplicaProcess) -> str:
        """Return why a process that was up is to be replaced."""
        ended = asyncio.ensure_future(process.wait())
        unwanted = asyncio.ensure_future(self._unwanted.wait())
        try:
            while True:
                await asyncio.wait(
                    {ended, unwanted},
                    timeout=self.limits.probe_every_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if unwanted.done():
                    return self.why
                if ended.done():
                    log = last_lines(self._log)
                    return f"it ended with code {ended.result()}" + (f":\n{log}" if log else "")
                if why := await self._illness(process):
                    return why
        finally:
            ended.cancel()
            unwanted.cancel()

    async def _illness(self, process: ReplicaProcess) -> str:
        """Return what is wrong with a process that runs."""
        try:
            reply = await process.ask("GET", "/status", limit_s=self.limits.probe_s)
            stalled_s = float(reply.json()["stalled_s"])
        except (ReplicaGone, ValueError, KeyError) as error:
            return f"it did not tell its state within {self.limits.probe_s:g} s: {error}"
        if stalled_s > self.limits.hang_s:
            return f"it hangs: no request came to an end in {stalled_s:.0f} s"
        return ""
