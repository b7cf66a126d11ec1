"""Who begins, and whose turn it is."""

import asyncio
from dataclasses import dataclass

import pytest

from agentgym.errors import BudgetError
from agentgym.rollout.budget import Budget, BudgetConfig
from agentgym.rollout.scheduler import MOST, Scheduler, Seat


async def begun(scheduler: Scheduler, *, groups: int, size: int, order: int = 0) -> list[Seat]:
    """Ask for the seats of some groups, one after another, and return those there are."""
    seats: list[Seat] = []

    async def ask() -> None:
        for _ in range(groups):
            for member in range(size):
                seat = await scheduler.seat(order=order, opens_group=member == 0)
                seats.append(seat)

    asking = asyncio.create_task(ask())
    TASKS.append(asking)
    await settled()
    return seats


TASKS: list[asyncio.Task[None]] = []


@pytest.fixture(autouse=True)
async def no_task_is_left():
    yield
    for each in TASKS:
        each.cancel()
    await asyncio.gather(*TASKS, return_exceptions=True)
    TASKS.clear()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_groups_begin_whole_until_the_engine_has_enough():
    seats = await begun(Scheduler(slots=4), groups=5, size=3)
    assert len(seats) == 6  # a second group was begun for the fourth slot, and begun whole


async def test_another_begins_for_each_episode_that_is_away_from_the_engine():
    scheduler = Scheduler(slots=4)
    seats = await begun(scheduler, groups=100, size=1)
    assert len(seats) == 4
    for seat in seats[:4]:
        assert seat.enter() is None
    assert len(seats) == 4
    seats[0].leave()  # to its tools
    await settled()
    assert len(seats) == 4 + 1 + 2  # and twice the root of one


async def test_what_ended_tells_how_many_are_needed():
    scheduler = Scheduler(slots=16)
    scheduler._elsewhere.add(generate_s=1.0, elsewhere_s=2.0)
    assert scheduler.wanted == 18 + 36 + 12


async def test_without_an_engine_of_ours_as_many_begin_as_there_may_be():
    assert len(await begun(Scheduler(most=30), groups=99, size=1)) == 30
    assert len(await begun(Scheduler(), groups=999, size=1)) == MOST


async def test_no_more_than_asked_for_begin():
    seats = await begun(Scheduler(slots=50, most=7), groups=4, size=4)
    assert len(seats) == 7
    seats[0].close()
    seats[0].close()
    await settled()
    assert len(seats) == 8


@dataclass
class Shelf:
    free: int

    def room(self) -> int:
        return self.free


async def test_without_a_free_sandbox_nothing_begins():
    shelf = Shelf(free=2)
    scheduler = Scheduler(slots=50, sandboxes=shelf)
    seats = await begun(scheduler, groups=4, size=4)
    assert len(seats) == 2
    shelf.free = 0  # both hold one
    for seat in seats[:2]:
        seat.enter()
    await settled()
    assert len(seats) == 2
    shelf.free = 1
    seats[0].close()
    await settled()
    assert len(seats) == 3


async def test_where_no_sandbox_is_free_at_all_one_episode_asks_for_it():
    assert len(await begun(Scheduler(slots=5, sandboxes=Shelf(0)), groups=2, size=2)) == 1


async def test_the_engine_takes_no_more_than_its_slots_and_what_began_first_goes_first():
    scheduler = Scheduler(slots=2)
    seats = await begun(scheduler, groups=1, size=5)
    taken: list[int] = []

    async def turn(seat: Seat) -> None:
        if (waiting := seat.enter()) is not None:
            await waiting
            seat.entered()
        taken.append(seat.place)

    tasks = [asyncio.create_task(turn(seat)) for seat in reversed(seats)]
    await settled()
    assert taken == [4, 3]
    seats[4].leave()
    await settled()
    assert taken == [4, 3, 0]
    seats[0].leave()
    seats[3].leave()
    await settled()
    assert taken == [4, 3, 0, 1, 2]
    await asyncio.gather(*tasks)


async def test_a_few_requests_wait_inside_the_engine_and_make_no_slot_idle():
    scheduler = Scheduler(slots=16)
    seats = await begun(scheduler, groups=1, size=20)
    waiting = [seat.enter() for seat in seats]
    assert [each is None for each in waiting] == [True] * 18 + [False] * 2
    for each in waiting[18:]:
        each.close()
    for seat in seats[:4]:  # two of them to the two that wait
        seat.leave()
    assert scheduler.occupancy._busy == 16
    seats[4].leave()
    assert scheduler.occupancy._busy == 15


async def test_a_lower_order_goes_first_at_the_door_and_at_the_engine():
    scheduler = Scheduler(slots=1)
    (first,) = await begun(scheduler, groups=1, size=1, order=5)
    later = await begun(scheduler, groups=1, size=1, order=5)
    sooner = await begun(scheduler, groups=1, size=1, order=4)
    assert not later
    first.close()
    await settled()
    assert len(sooner) == 1
    assert not later


async def test_who_waits_and_gives_up_takes_nothing_along():
    scheduler = Scheduler(slots=1)
    seats = await begun(scheduler, groups=1, size=3)
    assert seats[0].enter() is None
    waiting = [asyncio.ensure_future(each.enter()) for each in seats[1:]]
    await settled()
    waiting[0].cancel()
    await settled()
    seats[0].leave()
    await waiting[1]
    seats[2].entered()
    for seat in seats:
        seat.close()
    assert await begun(scheduler, groups=1, size=1)


async def test_who_is_cancelled_just_as_the_turn_comes_gives_it_on():
    scheduler = Scheduler(slots=1)
    seats = await begun(scheduler, groups=1, size=3)
    assert seats[0].enter() is None
    waiting = [asyncio.ensure_future(each.enter()) for each in seats[1:]]
    await settled()
    seats[0].leave()  # the first of them has the turn, and does not know it yet
    waiting[0].cancel()
    await asyncio.wait_for(waiting[1], 1)


async def test_who_is_cancelled_just_as_the_seat_comes_gives_it_back():
    scheduler = Scheduler(slots=1)
    (first,) = await begun(scheduler, groups=1, size=1)
    asking = asyncio.create_task(scheduler.seat())
    await settled()
    first.close()
    asking.cancel()
    await settled()
    assert asking.cancelled()
    await asyncio.wait_for(scheduler.seat(), 1)


@pytest.mark.parametrize(
    ("limit", "spent"), [({"tokens": 5}, {"tokens": 5}), ({"dollars": 0.5}, {"cost": 0.6})]
)
async def test_a_spent_budget_ends_turns(limit, spent):
    budget = Budget(BudgetConfig(**limit))
    scheduler = Scheduler(slots=1, budget=budget)
    seat = await scheduler.seat()
    assert seat.enter() is None
    seat.leave()
    budget.add(**{"tokens": 0, "cost": 0.0} | spent)
    with pytest.raises(BudgetError, match=next(iter(limit))):
        seat.enter()


async def test_seconds_count_from_the_first_turn_on():
    budget = Budget(BudgetConfig(seconds=0.01))
    seat = await Scheduler(budget=budget).seat()
    await asyncio.sleep(0.02)
    assert seat.enter() is None
    seat.leave()
    await asyncio.sleep(0.02)
    with pytest.raises(BudgetError, match="seconds"):
        seat.enter()


async def test_a_machine_costs_by_the_hour():
    budget = Budget(BudgetConfig(dollars=0.01, dollars_per_hour=3600))
    budget.check()
    await asyncio.sleep(0.02)
    with pytest.raises(BudgetError, match=r"dollars, and rollout\.budget\.dollars = 0\.01"):
        budget.check()


async def test_it_tells_how_well_the_engine_was_used():
    scheduler = Scheduler(slots=2)
    assert scheduler.scalars() == {}
    seats = [await scheduler.seat(), await scheduler.seat()]
    seats[0].enter()
    await asyncio.sleep(0.05)
    for seat in seats:
        seat.close()
    found = scheduler.scalars()
    assert 0.4 < found["rollout/idle_share"] < 0.6
    assert found["rollout/in_flight"] == pytest.approx(2, abs=0.1)
    assert found["rollout/most_in_flight"] == 2
    assert scheduler.scalars() == {}


async def test_who_gave_up_waiting_for_a_turn_may_ask_again():
    scheduler = Scheduler(slots=1)
    first, second = await begun(scheduler, groups=1, size=2)
    assert first.enter() is None
    for _ in range(2):
        waiting = asyncio.ensure_future(second.enter())
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    waiting = asyncio.ensure_future(second.enter())
    await settled()
    first.leave()
    await asyncio.wait_for(waiting, 1)
    assert second.entered() >= 0
