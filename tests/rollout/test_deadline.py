"""`within` against what it must equal: `await` under `asyncio.timeout`."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Awaitable, Callable, Generator
from types import coroutine

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.errors import DeadlineError
from agentgym.rollout.deadline import within

LONG_S = 30.0
PLACE: contextvars.ContextVar[str] = contextvars.ContextVar("PLACE", default="outside")


@coroutine
def bare_yield() -> Generator[None, None, None]:
    yield


class Countdown:
    """Awaitable by hand: neither a coroutine nor a future."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "lift-off"


async def play(actions: list[str], told: list[str]) -> str:
    """Do what the words say, and tell of it; a cancellation is told, and passes or is survived."""
    for number, action in enumerate(actions):
        try:
            match action:
                case "yield":
                    await asyncio.sleep(0)
                case "bare":
                    await bare_yield()
                case "sleep":
                    await asyncio.sleep(0.0001)
                case "hand":
                    told.append(await Countdown())
                case "future":
                    future = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_soon(future.set_result, number)
                    told.append(str(await future))
                case "tasks":
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(asyncio.sleep(0))
                        tasks.create_task(asyncio.sleep(0))
                case "inner":
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0):
                            await asyncio.sleep(LONG_S)
                case "nested":
                    await within(LONG_S, "the inner work", play(["yield", "future"], told))
                case "survive":
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
                case "raise":
                    raise LookupError(number)
                case "timeout":
                    raise TimeoutError("its own")
        except asyncio.CancelledError:
            told.append(f"cancelled at {number}")
            await asyncio.sleep(0)
            raise
        told.append(action)
    return "end"


async def outcome(begin: Callable[[], Awaitable[str]], *, cancel_after: int | None) -> str:
    """Run as a task, cancelled after so many passes of the loop; say what came of it."""

    async def waiting() -> str:
        return await begin()

    task = asyncio.create_task(waiting())
    if cancel_after is not None:
        for _ in range(cancel_after):
            await asyncio.sleep(0)
        task.cancel()
    try:
        found = await task
    except asyncio.CancelledError:
        return "cancelled"
    except (LookupError, TimeoutError, DeadlineError) as error:
        return repr(error)
    return f"{found} {task.cancelling()}"


ACTIONS = ["yield", "bare", "sleep", "hand", "future", "tasks", "inner", "nested", "survive"]
ENDINGS = ["raise", "timeout"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*ACTIONS, *ENDINGS]), max_size=5),
    st.none() | st.integers(0, 8),
)
def test_work_within_its_limit_is_as_if_awaited(
    actions: list[str], cancel_after: int | None
) -> None:
    if "sleep" in actions and cancel_after is not None:
        cancel_after = 0  # how many passes a sleep takes is up to the clock
    awaited, limited = list[str](), list[str]()

    def plain() -> Awaitable[str]:
        return play(actions, awaited)

    def with_limit() -> Awaitable[str]:
        return within(LONG_S, "the work", play(actions, limited))

    expected = asyncio.run(outcome(plain, cancel_after=cancel_after))
    assert asyncio.run(outcome(with_limit, cancel_after=cancel_after)) == expected
    assert limited == awaited


@pytest.mark.parametrize("actions", [["yield"], ["future", "yield"], ["nested"], ["hand"]])
async def test_what_takes_too_long_is_cancelled_and_named(actions: list[str]) -> None:
    closed: list[str] = []

    async def work() -> None:
        try:
            await play(actions, [])
            await asyncio.sleep(LONG_S)
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    with pytest.raises(DeadlineError, match=r"^the tool took longer than 0\.02 s$"):
        await within(0.02, "the tool", work())
    assert closed == ["closed"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_time_that_passes_before_it_first_waits_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[float] = []
    timeout = asyncio.timeout

    def spy(delay: float) -> asyncio.Timeout:
        left.append(delay)
        return timeout(delay)

    async def work() -> None:
        time.sleep(0.05)  # noqa: ASYNC251  as an environment that blocks the loop
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio, "timeout", spy)
    await within(LONG_S, "it", work())
    assert left[0] <= LONG_S - 0.05


async def test_work_that_never_waits_sets_no_timer() -> None:
    async def work() -> int:
        return 7

    loop = asyncio.get_running_loop()
    timers = len(loop._scheduled)  # type: ignore[attr-defined]
    assert await within(0.0, "it", work()) == 7
    assert len(loop._scheduled) == timers  # type: ignore[attr-defined]


async def test_an_outer_limit_that_fires_first_is_not_taken_for_ours() -> None:
    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0.01):
            await within(LONG_S, "it", asyncio.sleep(LONG_S))
    assert not isinstance(raised.value, DeadlineError)


async def test_a_future_and_a_hand_made_awaitable_are_awaited_too() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 3)
    assert await within(LONG_S, "it", future) == 3
    assert await within(LONG_S, "it", Countdown()) == "lift-off"


async def test_context_variables_reach_the_work_and_come_back() -> None:
    async def work() -> str:
        seen = PLACE.get()
        await asyncio.sleep(0)
        PLACE.set("inside")
        return seen

    PLACE.set("before")
    assert await within(LONG_S, "it", work()) == "before"
    assert PLACE.get() == "inside"


async def test_work_that_is_thrown_away_is_closed() -> None:
    closed: list[str] = []

    async def work() -> None:
        try:
            await bare_yield()
        finally:
            closed.append("closed")

    thrown_away = within(LONG_S, "it", work())
    thrown_away.send(None)
    thrown_away.close()
    assert closed == ["closed"]
