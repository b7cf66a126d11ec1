"""Blocking work on a thread, while the event loop plays episodes."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], *, stop: Event) -> T:
    """Run `work` on a thread; when this returns or raises, the work has ended.

    Where the caller is cancelled, `stop` is set, which tells the work that nobody wants it.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([running])
        running.exception()  # else asyncio complains that nobody asked for it
        raise
