"""Collections of steps to come are begun in time, never too early, and fail at once."""

import asyncio
from functools import partial

import pytest

from agentgym.errors import EngineError
from agentgym.trainers.ahead import Ahead
from agentgym.trainers.refill import Collected


class Stage:
    """Collections that end, or fail, when the test says so."""

    def __init__(self):
        self.begun, self.cancelled = [], []
        self.ends = {}

    async def play(self, step):
        self.begun.append(step)
        self.ends[step] = asyncio.get_running_loop().create_future()
        try:
            await self.ends[step]
        except asyncio.CancelledError:
            self.cancelled.append(step)
            raise
        return Collected([step], [step])

    def end(self, step):
        self.ends[step].set_result(None)


@pytest.fixture
def stage():
    return Stage()


async def soon():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("max_staleness", [0, 1, 3])
async def test_as_many_steps_as_allowed_are_begun_and_none_behind_the_last(stage, max_staleness):
    ahead = Ahead(stage.play, max_staleness=max_staleness, steps=4)
    for step in range(4):
        taking = asyncio.create_task(ahead.take(step))
        await soon()
        assert stage.begun == list(range(min(step + max_staleness + 1, 4)))
        stage.end(step)
        assert (await taking).groups == [step]
    await ahead.close()
    assert stage.cancelled == []


async def test_a_later_step_that_is_done_first_waits_for_its_turn(stage):
    ahead = Ahead(stage.play, max_staleness=2, steps=9)
    taking = asyncio.create_task(ahead.take(0))
    await soon()
    stage.end(2)
    await soon()
    assert not taking.done()
    stage.end(0)
    await taking
    taking = asyncio.create_task(ahead.take(1))
    await soon()
    stage.end(1)
    await taking
    assert (await ahead.take(2)).groups == [2]
    await soon()
    await ahead.close()
    assert sorted(stage.cancelled) == [3, 4]


async def test_a_later_step_that_fails_ends_the_wait_at_once_and_the_others(stage):
    ahead = Ahead(stage.play, max_staleness=2, steps=9)
    taking = asyncio.create_task(ahead.take(0))
    await soon()
    stage.ends[2].set_exception(EngineError("gone"))
    with pytest.raises(EngineError, match="gone"):
        await taking
    await ahead.close()
    assert sorted(stage.cancelled) == [0, 1]


async def test_work_beside_is_given_up_when_a_collection_fails(stage):
    ahead = Ahead(stage.play, max_staleness=1, steps=9)
    taking = asyncio.create_task(ahead.take(0))
    await soon()
    stage.end(0)
    await taking
    assert await ahead.beside(partial(asyncio.sleep, 0, "result")) == "result"
    work = asyncio.create_task(ahead.beside(partial(asyncio.sleep, 60)))
    await soon()
    stage.ends[1].set_exception(EngineError("gone"))
    with pytest.raises(EngineError, match="gone"):
        await work
    await ahead.close()


async def test_a_wait_that_is_cancelled_leaves_the_collections_to_close(stage):
    ahead = Ahead(stage.play, max_staleness=1, steps=9)
    taking = asyncio.create_task(ahead.take(0))
    await soon()
    taking.cancel()
    await asyncio.wait([taking])
    assert stage.cancelled == []
    await ahead.close()
    await ahead.close()
    assert sorted(stage.cancelled) == [0, 1]


async def test_the_overlap_ends_with_the_last_collection(stage, monkeypatch):
    now = 10.0
    monkeypatch.setattr("agentgym.trainers.ahead.time.perf_counter", lambda: now)
    ahead = Ahead(stage.play, max_staleness=1, steps=2)
    taking = asyncio.create_task(ahead.take(0))
    await soon()
    stage.end(0)
    await taking
    now = 12.0
    assert ahead.overlap(10.0) == 1.0
    stage.end(1)
    await soon()
    now = 18.0
    assert ahead.overlap(10.0) == 0.25
    assert ahead.overlap(14.0) == 0.0
    await ahead.close()
