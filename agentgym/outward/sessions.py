"""Which client plays which episode, and the end of those that nobody plays any more."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agentgym.errors import AgentGymError
from agentgym.outward.episode import Episode
from agentgym.outward.stage import Stage

IDLE_S = 900.0
"""An episode is ended when its client said nothing for so long."""

_MAX_SESSIONS = 1024
_LOOKS = 4  # within the idle time, for episodes to end

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Session:
    episode: Episode | None = None
    used: float = field(default_factory=time.monotonic)
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_busy(self) -> bool:
        return self.starting.locked() or (self.episode is not None and self.episode.is_busy)


class Sessions:
    """One episode per client, by the name that the transport has for the client.

    The first that is asked of a session starts its episode, on the next task.
    """

    def __init__(self, stage: Stage, *, idle_s: float = IDLE_S) -> None:
        self.stage = stage
        self.idle_s = idle_s
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def episode(self, key: str) -> Episode:
        """Return the episode of a session; the first time one is started.

        Raises:
            AgentGymError: it cannot be started, or too many clients are here.
        """
        async with self._starting(key) as session:
            if session.episode is None:
                session.episode = await self.stage.open()
            return session.episode

    async def restart(
        self, key: str, options: Mapping[str, Any], *, seed: int | None = None
    ) -> Episode:
        """End the episode of a session, and start another as `Stage.open` does.

        Raises:
            ConfigError: the options name no task; the present episode goes on.
            AgentGymError: it cannot be started, or too many clients are here.
        """
        async with self._starting(key) as session:
            started = await self.stage.open(options, seed=seed)
            before, session.episode = session.episode, started
        if before is not None:
            await before.close()
        return started

    def adopt(self, key: str, episode: Episode) -> None:
        """Let a session play an episode that was started elsewhere."""
        self._session(key).episode = episode

    async def end(self, key: str) -> None:
        """End the episode of a session, if there is one; also one that is being started."""
        session = self._sessions.pop(key, None)
        if session is None:
            return
        async with session.starting:
            if session.episode is not None:
                await session.episode.close()

    async def end_idle(self) -> None:
        """End those that nobody used for `idle_s`, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.idle_s / _LOOKS)
            now = time.monotonic()
            for session in self._sessions.values():
                if session.is_busy:
                    session.used = now
            idle = [key for key, each in self._sessions.items() if each.used < now - self.idle_s]
            for key in idle:
                logger.info("a client said nothing for %g s; its episode is ended", self.idle_s)
                await self.end(key)

    @asynccontextmanager
    async def _starting(self, key: str) -> AsyncIterator[_Session]:
        """Hold a session while its episode may be started; one that ended meanwhile begins anew."""
        while True:
            session = self._session(key)
            async with session.starting:
                if self._sessions.get(key) is session:
                    yield session
                    return

    def _session(self, key: str) -> _Session:
        session = self._sessions.get(key)
        if session is None:
            if len(self._sessions) >= _MAX_SESSIONS:
                raise AgentGymError(f"{_MAX_SESSIONS} clients are here, and no more are served")
            session = self._sessions[key] = _Session()
        session.used = time.monotonic()
        return session
