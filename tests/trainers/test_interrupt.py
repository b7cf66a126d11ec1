import asyncio
import os
import signal

import pytest

from agentgym.trainers.interrupt import Interrupt, Interrupted


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_gives_the_work_up(number):
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with Interrupt() as interrupt:
        asyncio.get_running_loop().call_later(0.02, send, number)
        with pytest.raises(Interrupted):
            await interrupt.give_up(work())
        assert interrupt.requested
        assert cleaned
        with pytest.raises(Interrupted):
            await interrupt.give_up(work())


def test_the_first_signal_lets_blocking_work_finish_and_the_second_does_not():
    with Interrupt() as interrupt:
        send()
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            send()


async def test_other_cancellations_pass():
    with Interrupt() as interrupt:
        task = asyncio.ensure_future(interrupt.give_up(asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_work_that_ends_gives_its_result():
    with Interrupt() as interrupt:
        assert await interrupt.give_up(asyncio.sleep(0, "result")) == "result"


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
