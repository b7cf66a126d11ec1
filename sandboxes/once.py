"""What has to be done to its end, however often it is asked for and given up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Once:
    """Work that is done once; everybody who asks for it waits for the same end."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Wait for its end, also when cancelled: then the cancellation comes after it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        cancelled: asyncio.CancelledError | None = None
        while not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled
        self._task.result()
