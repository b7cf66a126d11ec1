"""A limit of time around work that mostly ends at once.

A timer costs more than a step of a small environment, so one is set only for work that waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType, coroutine
from typing import Any, TypeVar

from agentgym.errors import DeadlineError

T = TypeVar("T")


async def within(seconds: float, what: str, work: Awaitable[T]) -> T:
    """Await `work` as `await` does, but no longer than `seconds` from now.

    Work that never waits is not interrupted: nothing could.

    Raises:
        DeadlineError: `what` took longer; `work` was cancelled and has ended.
    """
    began = time.monotonic()
    begun = work if isinstance(work, CoroutineType) else _awaited(work)
    try:
        waits_for = begun.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    limit = asyncio.timeout(seconds - (time.monotonic() - began))
    try:
        async with limit:
            return await _rest(begun, waits_for)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineError(f"{what} took longer than {seconds:g} s") from error


async def _awaited(work: Awaitable[T]) -> T:
    return await work


@coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await what is left of `work`, which was begun by hand and waits for something."""
    while True:
        try:
            yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001  it is for the work to see
            try:
                waits_for = work.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
        else:
            return (yield from work.__await__())
