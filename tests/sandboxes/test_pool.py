"""The rules of a pool, over a backend that starts nothing."""

import asyncio
import itertools

import pytest
from worker_channel import Answering

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes.box import Machine, WorkerSandbox
from agentgym.sandboxes.pool import Pool, PoolSettings


class Fake:
    """Counts what it started."""

    info = SandboxInfo(backend="fake")

    def __init__(self) -> None:
        self.started: list[WorkerSandbox] = []
        self.channels: list[Answering] = []
        self.fails = False

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        await asyncio.sleep(0.001)
        if self.fails:
            raise SandboxUnavailable("the machine is out of order")
        channel = Answering()
        gone = asyncio.get_running_loop().create_future()

        def kill() -> None:
            asyncio.get_running_loop().call_later(0.001, gone.set_result, "killed")

        machine = Machine(
            name=f"fake-{len(self.started)}",
            info=self.info,
            channel=channel,
            group=None,
            gone=gone,
            kill=kill,
        )
        sandbox = WorkerSandbox(machine, limits=Limits(), cpus=1, exec_slots=exec_slots)
        self.started.append(sandbox)
        self.channels.append(channel)
        return sandbox

    async def close(self) -> None:
        pass


class Settings(PoolSettings):
    name: str = "fake"

    def build(self) -> Pool:
        return Pool(self, Fake())


@pytest.fixture
async def backend() -> Fake:
    return Fake()


def pool_of(backend: Fake, **settings: float) -> Pool:
    return Pool(Settings(**{"spares": 0, **settings}), backend)  # type: ignore[arg-type]


async def idle(pool: Pool) -> None:
    while pool._tasks:
        await asyncio.wait(list(pool._tasks))


async def test_no_more_than_the_most_are_ever_alive(backend: Fake) -> None:
    alive = most = 0
    async with pool_of(backend, max_size=3) as pool:

        async def use(number: int) -> None:
            nonlocal alive, most
            async with pool.lease(fresh=bool(number % 2)) as sandbox:
                alive += 1
                most = max(most, alive, len(pool._living))
                await sandbox.python("pass")
                await asyncio.sleep(0.001)
                alive -= 1

        await asyncio.gather(*(use(number) for number in range(40)))
    assert most == 3


async def test_whoever_asks_first_is_served_first(backend: Fake) -> None:
    served = []
    async with pool_of(backend, max_size=1) as pool:

        async def use(number: int) -> None:
            async with pool.lease(fresh=number % 3 == 0) as sandbox:
                served.append(number)
                await sandbox.python("pass")

        tasks = [asyncio.create_task(use(number)) for number in range(12)]
        await asyncio.gather(*tasks)
    assert served == list(range(12))


async def test_waiting_has_an_end_that_says_what_to_do(backend: Fake) -> None:
    async with pool_of(backend, max_size=1, wait_s=0.05) as pool, pool.lease():
        with pytest.raises(SandboxUnavailable, match=r"wait_s = 0\.05") as raised:
            async with pool.lease():
                pass
        assert "max_size" in str(raised.value.hint)


async def test_one_who_stops_waiting_costs_nothing(backend: Fake) -> None:
    async with pool_of(backend, max_size=1) as pool:
        async with pool.lease() as sandbox:
            await sandbox.python("pass")
            waiting = [asyncio.create_task(pool.lease().__aenter__()) for _ in range(5)]
            await asyncio.sleep(0.01)
            for task in waiting:
                task.cancel()
        async with asyncio.timeout(1), pool.lease() as again:
            assert again is sandbox
    assert len(backend.started) == 1


async def test_a_start_that_nobody_waits_for_any_more_is_undone(backend: Fake) -> None:
    async with pool_of(backend) as pool:
        waiting = asyncio.create_task(pool.lease().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await idle(pool)
        await asyncio.sleep(0.01)
        assert len(backend.started) == 1
        assert not pool._living


async def test_a_fresh_one_takes_the_room_of_a_used_one(backend: Fake) -> None:
    async with pool_of(backend, max_size=1) as pool:
        async with pool.lease() as used:
            await used.python("pass")
        await idle(pool)
        async with asyncio.timeout(1), pool.lease(fresh=True) as fresh:
            assert fresh is not used
        assert pool.metrics.replaced == 1


async def test_a_start_that_fails_is_told_to_one_who_waits(backend: Fake) -> None:
    backend.fails = True
    async with pool_of(backend, spares=2) as pool:
        for _ in range(3):
            with pytest.raises(SandboxUnavailable, match="out of order"):
                async with pool.lease():
                    pass
        backend.fails = False
        async with pool.lease():
            pass


async def test_an_old_one_is_replaced(backend: Fake) -> None:
    async with pool_of(backend, max_age_s=0.01) as pool:
        async with pool.lease() as old:
            await old.python("pass")
            await asyncio.sleep(0.02)
        await idle(pool)
        async with pool.lease() as another:
            assert another is not old
        assert pool.metrics.replaced == 1


async def test_one_that_was_quiet_for_long_is_asked_first(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    async with pool_of(backend) as pool:
        async with pool.lease() as first:
            await first.python("pass")
        await idle(pool)
        backend.channels[0].deaf = True
        async with pool.lease() as second:
            assert second is not first
            assert second.id == "fake-1"


async def test_spares_stay_spares_though_they_were_asked(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    async with pool_of(backend) as pool:
        async with pool.lease(fresh=True) as first:
            pass
        async with pool.lease(fresh=True) as second:
            assert second is first


async def test_closing_ends_the_waiting(backend: Fake) -> None:
    pool = pool_of(backend, max_size=1)
    async with pool.lease():
        waiting = asyncio.create_task(pool.lease().__aenter__())
        await asyncio.sleep(0.01)
        await pool.close()
        with pytest.raises(SandboxUnavailable, match="closed"):
            await waiting


async def test_what_was_done_is_counted(backend: Fake) -> None:
    async with pool_of(backend, max_uses=2) as pool:
        for _ in range(4):
            async with pool.lease() as sandbox:
                await sandbox.python("pass")
            await idle(pool)
        scalars = pool.metrics.scalars()
    assert scalars["starts"] == 2
    assert scalars["waits"] == 4
    assert scalars["resets"] == 2
    assert scalars["replaced"] == 2
    assert scalars["execs"] == 6
    assert 0 < scalars["start_s"] <= scalars["start_max_s"] < 1
    assert pool.scalars() == {f"sandbox/{name}": value for name, value in scalars.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_of_events_loses_a_sandbox(backend: Fake, seed: int) -> None:
    """Leases that end, fail and are given up at random, of sandboxes that die at random."""
    import random

    draw = random.Random(seed)
    async with pool_of(backend, max_size=3, spares=1, max_uses=3) as pool:

        async def use() -> None:
            async with pool.lease(fresh=draw.random() < 0.4) as sandbox:
                await sandbox.python("pass")
                await asyncio.sleep(draw.random() / 300)
                if draw.random() < 0.2:
                    await sandbox.close()

        async def try_to() -> None:
            try:
                async with asyncio.timeout(draw.random() / 30):
                    await use()
            except TimeoutError:
                pass

        for _ in range(20):
            await asyncio.gather(*(try_to() for _ in range(8)))
        await idle(pool)
        await asyncio.sleep(0.01)
        there = {*pool._spares, *pool._idle}
        assert there == pool._living
        async with asyncio.timeout(2):
            for _ in itertools.repeat(None, 5):
                async with pool.lease():
                    pass
