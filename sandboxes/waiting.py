"""Those who wait for a sandbox, in the order of asking."""

import asyncio
import bisect
import contextlib
import itertools
from collections import deque

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.box import WorkerSandbox


class Waiter:
    """Somebody who waits for a sandbox."""

    def __init__(self, place: int, *, fresh: bool) -> None:
        self.place = place
        """In the order of asking, ever."""
        self.fresh = fresh
        self.sandbox: asyncio.Future[WorkerSandbox] = asyncio.get_running_loop().create_future()


class Waiting:
    """The queue; whoever got a sandbox that was of no use goes back to their place in it."""

    def __init__(self) -> None:
        self._queue: deque[Waiter] = deque()
        self._places = itertools.count()

    def __len__(self) -> int:
        return len(self._queue)

    def take_place(self) -> int:
        """Return the last place there is, for somebody who begins to wait."""
        return next(self._places)

    def add(self, place: int, *, fresh: bool) -> Waiter:
        """Let somebody wait in their place."""
        waiter = Waiter(place, fresh=fresh)
        bisect.insort(self._queue, waiter, key=lambda each: each.place)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Let go of somebody who waits no more, if they still stand there."""
        with contextlib.suppress(ValueError):
            self._queue.remove(waiter)

    def first(self) -> Waiter | None:
        """Return who has waited longest and still does."""
        while self._queue and self._queue[0].sandbox.done():
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def hand_out(self, sandbox: WorkerSandbox) -> None:
        """Give the first one a sandbox."""
        self._queue.popleft().sandbox.set_result(sandbox)

    def refuse(self, error: SandboxUnavailable) -> None:
        """Tell the first one why there is none."""
        self._queue.popleft().sandbox.set_exception(error)

    def refuse_all(self, reason: str) -> None:
        """Tell everybody why there will be none."""
        while self.first():
            self.refuse(SandboxUnavailable(reason))
