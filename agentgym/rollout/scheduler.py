"""Which episode begins next, and whose request the engine takes next.

An engine decodes so many requests at once: its slots. To keep them busy there must be as many
episodes at the engine, and a few whose requests wait inside it, so that the next step begins with a
full batch before we know of the end of the last one. All others wait for tools, resets and graders.
How many these are tells Little's law from the episodes that ended; their number fluctuates like a
Poisson variable, so twice its root is added. Nothing of this is set by hand.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from agentgym.rollout.budget import Budget
from agentgym.rollout.occupancy import Occupancy
from agentgym.rollout.standstill import Standstill

if TYPE_CHECKING:
    from agentgym.rollout.policy import Reply
    from agentgym.sandbox import Sandboxes

MOST = 128  # episodes under way where no engine says how many it needs
_MOST_PER_SLOT = 8  # whatever the law says: each holds memory, and often a sandbox
_MARGIN = 2.0  # standard deviations
_AHEAD = 1 / 8  # of the slots: requests that wait inside the engine


class Scheduler:
    """Shared by all who roll out at the same time, such as a step and the steps after it.

    Episodes begin in the order of `order`, and in that of asking where this is the same. The
    siblings of a group begin together: the limit on episodes that are there to keep the engine
    busy holds between groups, the hard limits - `most`, and free sandboxes - for each episode.
    The engine takes requests in the same order, so that what began first ends first: a slow
    episode is waited for and never dropped, and what comes later uses the slots that it leaves.
    """

    def __init__(
        self,
        *,
        slots: int | None = None,
        most: int | None = None,
        sandboxes: "Sandboxes | None" = None,
        budget: Budget | None = None,
    ) -> None:
        """`slots` of the engine (None: policies need none); `most` episodes at once (None: any)."""
        self.occupancy = Occupancy(slots)
        self.budget = budget or Budget()
        self.standstill = Standstill()
        self.has_slots = slots is not None
        self._places = math.inf if slots is None else slots + int(_AHEAD * slots)
        self._most = most or (MOST if slots is None else _MOST_PER_SLOT * slots)
        self._sandboxes = sandboxes
        self._elsewhere = Elsewhere(horizon=2 * (slots or 1))
        self._count = itertools.count()
        self._asking: list[tuple[int, int, bool, asyncio.Future[Seat]]] = []
        self._turns: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._seats = 0
        self._starting = 0  # seats without a first turn: they may hold no sandbox yet
        self._busy = 0

    async def seat(self, *, order: int = 0, opens_group: bool = True) -> "Seat":
        """Wait until one more episode may begin; `Seat.close` must follow."""
        if not self._asking and self._has_room(opens_group):
            return self._take(order, next(self._count))
        future: asyncio.Future[Seat] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asking, (order, next(self._count), opens_group, future))
        self._let_in()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.result().close()
            raise

    @property
    def wanted(self) -> float:
        """Episodes that should be under way so that no slot of the engine is idle."""
        if self._places == math.inf:
            return math.inf
        now = self._seats - self._starting - self._busy - len(self._turns)
        elsewhere = max(self._places * self._elsewhere.per_place, now)
        return self._places + elsewhere + _MARGIN * math.sqrt(elsewhere)

    def scalars(self) -> dict[str, float]:
        """Return what happened since the last call, by names that begin with `rollout/`.

        `rollout/blocked_s` is of the whole process: how long everything stood still.
        """
        found = self.occupancy.scalars()
        return {**found, "rollout/blocked_s": self.standstill.seconds} if found else {}

    def _let_in(self) -> None:
        """Let those begin who may, in their order."""
        while self._asking:
            order, place, opens_group, future = self._asking[0]
            if not future.done():
                if not self._has_room(opens_group):
                    return
                future.set_result(self._take(order, place))
            heapq.heappop(self._asking)

    def _has_room(self, opens_group: bool) -> bool:
        if not self._seats:
            return True
        if self._seats >= self._most:
            return False
        if self._sandboxes is not None and self._sandboxes.room() <= self._starting:
            return False
        return not opens_group or self._seats < self.wanted

    def _take(self, order: int, place: int) -> "Seat":
        self._seats += 1
        self._starting += 1
        self.occupancy.change(self._seats, self._busy)
        return Seat(self, order, place)

    # What seats ask for

    def _enter(self, seat: "Seat") -> Awaitable[None] | None:
        """Take a slot at once and return None, or return what to wait for."""
        if self._busy < self._places and not self._turns:
            self._occupy(1)
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._turns, (seat.order, seat.place, next(self._count), future))
        return self._wait(future)

    async def _wait(self, future: "asyncio.Future[None]") -> None:
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._leave()
            raise

    def _begin(self) -> None:
        """An episode reached its first turn: what it needs from the start it has."""
        self._starting -= 1
        self._let_in()

    def _leave(self) -> None:
        """Give a slot to who is first in line."""
        while self._turns:
            *_, future = heapq.heappop(self._turns)
            if not future.done():
                future.set_result(None)
                break
        else:
            self._occupy(-1)
        self._let_in()

    def _occupy(self, change: int) -> None:
        self._busy += change
        self.occupancy.change(self._seats, self._busy)

    def _end(self, seat: "Seat") -> None:
        self._seats -= 1
        self._elsewhere.add(seat.generate_s, seat.elsewhere_s)
        self.occupancy.end(seat.wait_s, seat.generate_s + seat.elsewhere_s + seat.wait_s)
        self.occupancy.change(self._seats, self._busy)
        self._let_in()


class Seat:
    """The place of one episode, from before its reset until after its close.

    `enter` and `leave` alternate; `leave` without a turn does nothing. `close` may come at any
    moment, and twice.
    """

    def __init__(self, scheduler: Scheduler, order: int, place: int) -> None:
        self.order, self.place = order, place
        self.generate_s = 0.0
        self.elsewhere_s = 0.0
        self.wait_s = 0.0
        self._scheduler = scheduler
        self._since = time.perf_counter()
        self._has_begun = False
        self._is_inside = False
        self._is_closed = False

    def enter(self) -> Awaitable[None] | None:
        """Ask for a turn. None: it is here; else await what is returned, and call `entered`.

        Raises:
            BudgetError: nothing more may be spent.
        """
        self._scheduler.budget.check()
        waiting = None
        if self._scheduler.has_slots:
            self.elsewhere_s += self._lap()
            waiting = self._scheduler._enter(self)
            self._is_inside = waiting is None
        if not self._has_begun:
            self._has_begun = True
            self._scheduler._begin()
        return waiting

    def entered(self) -> float:
        """Take note that the wait is over; return how long it took."""
        self._is_inside = True
        waited = self._lap()
        self.wait_s += waited
        return waited

    def leave(self) -> None:
        """Give the turn, if it is here, to the next one."""
        if self._is_inside:
            self._is_inside = False
            self.generate_s += self._lap()
            self._scheduler._leave()

    def count(self, reply: "Reply") -> None:
        """Take note of what an answer cost."""
        completion, usage = reply.completion, reply.usage
        if completion is None and not usage:
            return
        tokens = len(completion.token_ids) if completion else usage.get("completion_tokens", 0.0)
        self._scheduler.budget.add(tokens=int(tokens), cost=usage.get("cost", 0.0))

    def close(self) -> None:
        """End: somebody else may begin. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self.leave()
        self.elsewhere_s += self._lap()
        if not self._has_begun:
            self._scheduler._starting -= 1
        self._scheduler._end(self)

    def close_after(self, task: object) -> None:
        """Close when a task is done, however it ended."""
        self.close()

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._since = now - self._since, now
        return lap


class Elsewhere:
    """How many episodes are not at the engine for each one that is, in the mean.

    Sums over the episodes that ended, of which old ones fade with `horizon` episodes.
    """

    def __init__(self, *, horizon: int) -> None:
        self._keep = 1 - 1 / horizon
        self._generate_s = 0.0
        self._elsewhere_s = 0.0

    @property
    def per_place(self) -> float:
        """0 until an episode ended."""
        return self._elsewhere_s / self._generate_s if self._generate_s > 0 else 0.0

    def add(self, generate_s: float, elsewhere_s: float) -> None:
        """Take note of an episode: seconds at the engine, and seconds that it needed otherwise."""
        self._generate_s = self._generate_s * self._keep + generate_s
        self._elsewhere_s = self._elsewhere_s * self._keep + elsewhere_s
