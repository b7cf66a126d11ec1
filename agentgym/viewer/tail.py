"""What grew, told to browsers as it happens: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from agentgym.viewer.runs import OpenRuns

LISTENERS = 32
"""Browsers that listen at once."""

_LOOK_S = 0.5
_ALIVE_S = 15.0  # a line without meaning, by which a connection that is gone is noticed


class Tail:
    """Tells every listener of the runs that changed, until the server stops."""

    def __init__(self, runs: OpenRuns) -> None:
        self._runs = runs
        self._listeners = 0
        self.is_stopping: Callable[[], bool] = lambda: False

    @property
    def is_full(self) -> bool:
        """Whether one listener more would be too many."""
        return self._listeners >= LISTENERS

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield events: each run once as it stands, then those that changed."""
        self._listeners += 1
        try:
            known: dict[str, str] = {}
            quiet_s = 0.0
            while not self.is_stopping():
                found = await asyncio.to_thread(self._states)
                for name, state in found.items():
                    if known.get(name) != state:
                        quiet_s = 0.0
                        yield f"data: {state}\n\n".encode()
                if quiet_s >= _ALIVE_S:
                    quiet_s = 0.0
                    yield b": \n\n"
                known = found
                quiet_s += _LOOK_S
                await self._wait()
        finally:
            self._listeners -= 1

    def _states(self) -> dict[str, str]:
        return {run.name: json.dumps(run.state) for run in self._runs}

    async def _wait(self) -> None:
        """Wait, but not when the server stops."""
        for _ in range(5):
            if not self.is_stopping():
                await asyncio.sleep(_LOOK_S / 5)
