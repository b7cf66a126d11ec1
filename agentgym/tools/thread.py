"""Blocking code beside the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


async def on_thread(function: Callable[[], Any]) -> Any:
    """Run on a thread of its own: one that hangs holds up neither a pool nor the exit.

    Raises:
        Exception: what the function raised; for SystemExit and its like a RuntimeError, because
            raised in a task they would stop the event loop.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if not done.done():
            done.set_result((value, error))

    def work() -> None:
        outcome: tuple[Any, Exception | None]
        try:
            outcome = (function(), None)
        except BaseException as error:  # noqa: BLE001  raised again by the one who waits
            outcome = (None, _ordinary(error))
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True, name="agentgym-tool").start()
    value, error = await done
    if error is not None:
        raise error
    return value


def _ordinary(error: BaseException) -> Exception:
    """Return the error, or one that says the same and ends no program."""
    if isinstance(error, Exception):
        return error
    ordinary = RuntimeError(f"{type(error).__name__}: {error}")
    ordinary.__cause__ = error
    return ordinary.with_traceback(error.__traceback__)  # errors tell the line from it
