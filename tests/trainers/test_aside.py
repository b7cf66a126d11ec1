"""Work on a thread never outlives the one who waits for it."""

import asyncio
import threading

import pytest

from agentgym.trainers.aside import aside


async def test_work_gives_its_result_or_its_error_while_the_loop_goes_on():
    go = threading.Event()
    asyncio.get_running_loop().call_soon(go.set)  # would never happen in a blocked loop
    assert await aside(lambda: go.wait(60), stop=threading.Event())

    def fail():
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await aside(fail, stop=threading.Event())


async def test_cancelled_work_is_told_and_waited_for():
    stop, ended = threading.Event(), []

    def work():
        stop.wait(60)
        ended.append(True)

    task = asyncio.create_task(aside(work, stop=stop))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
