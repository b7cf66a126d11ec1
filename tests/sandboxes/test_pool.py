"""The rules of a pool, over a backend that starts nothing."""

import asyncio
import contextlib
import itertools

import pytest
from pydantic import ValidationError
from worker_channel import Answering

from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.machine import Machine
from agentgym.sandboxes.pool import Pool


class Fake:
    """Counts what it started."""

    info = SandboxInfo(backend="fake")

    def __init__(self) -> None:
        self.started: list[WorkerSandbox] = []
        self.channels: list[Answering] = []
        self.fails: Exception | None = None
        self.is_away = False
        """Nothing that is killed ends."""
        self.num_closed = 0

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        await asyncio.sleep(0.001)
        if self.fails:
            raise self.fails
        channel = Answering()
        gone = asyncio.get_running_loop().create_future()

        def kill() -> None:
            if not self.is_away:
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
        await asyncio.sleep(0.02)
        self.num_closed += 1


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
            assert again.id == sandbox.id
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
            assert fresh.id != used.id
        assert pool.metrics.replaced == 1


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (SandboxUnavailable("out of order"), "out of order"),
        (SandboxDied("it is out of order"), "SandboxDied: it is out of order"),
        (OSError(24, "Too many open files"), "OSError: .Errno 24. Too many open files"),
        (KeyError("Id"), "KeyError: 'Id'"),
    ],
)
@pytest.mark.parametrize("spares", [0, 2])
async def test_a_start_that_fails_is_told_to_all_who_wait(
    backend: Fake, failure: Exception, told: str, spares: int
) -> None:
    backend.fails = failure
    async with pool_of(backend, spares=spares, max_size=2) as pool, asyncio.timeout(5):
        waiting = [asyncio.create_task(pool.lease().__aenter__()) for _ in range(7)]
        for task in waiting:
            with pytest.raises(SandboxUnavailable, match=told):
                await task
        await idle(pool)
        backend.fails = None
        async with pool.lease():
            pass


async def test_an_old_one_is_replaced(backend: Fake) -> None:
    async with pool_of(backend, max_age_s=0.01) as pool:
        async with pool.lease() as old:
            await old.python("pass")
            await asyncio.sleep(0.02)
        await idle(pool)
        async with pool.lease() as another:
            assert another.id != old.id
        assert pool.metrics.replaced == 1


@pytest.mark.parametrize("fresh", [True, False])
async def test_one_that_grew_old_while_nobody_wanted_it_is_not_handed_out(
    backend: Fake, *, fresh: bool
) -> None:
    async with pool_of(backend, max_age_s=0.02) as pool:
        async with pool.lease(fresh=True) as unused:
            pass
        async with pool.lease() as used:
            assert used.id == unused.id
            if not fresh:
                await used.python("pass")
        await idle(pool)
        await asyncio.sleep(0.02)
        async with pool.lease(fresh=fresh) as another:
            assert another.id != used.id
        await asyncio.sleep(0.01)
        assert len(pool._living) == 1


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
            assert second.id != first.id
            assert second.id == "fake-1"


async def test_who_gets_a_dead_one_keeps_their_place(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    served = []
    async with pool_of(backend, max_size=1) as pool:

        async def use(number: int) -> None:
            async with pool.lease() as sandbox:
                served.append((number, sandbox.id))

        async with pool.lease() as first:
            await first.python("pass")
            tasks = [asyncio.create_task(use(number)) for number in range(3)]
            await asyncio.sleep(0.01)
            backend.channels[0].deaf_to = wire.END
        await asyncio.gather(*tasks)
    assert served == [(number, "fake-1") for number in range(3)]


async def test_who_gives_up_while_one_is_asked_takes_no_room(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    async with pool_of(backend, max_size=1, exec_slots=1) as pool:
        for _ in range(3):
            async with pool.lease() as sandbox:
                await sandbox.python("pass")
            await idle(pool)
            backend.channels[-1].is_slow = True
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), pool.lease():
                    pass
        async with asyncio.timeout(1), pool.lease() as another:
            assert another.id == "fake-3"


async def test_one_is_asked_though_all_slots_are_taken(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    async with pool_of(backend, exec_slots=1) as pool:
        async with pool.lease():
            pass
        async with pool._exec_slots, asyncio.timeout(1), pool.lease() as again:
            assert again.id == "fake-0"


async def test_spares_stay_spares_though_they_were_asked(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._LONG_S", 0.0)
    async with pool_of(backend) as pool:
        async with pool.lease(fresh=True) as first:
            pass
        async with pool.lease(fresh=True) as second:
            assert second.id == first.id


async def test_no_more_give_way_than_there_are_who_wait(backend: Fake) -> None:
    async with pool_of(backend, max_size=3) as pool:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(3):
                await (await held.enter_async_context(pool.lease())).python("pass")
        await idle(pool)
        waiting = asyncio.create_task(pool.lease(fresh=True).__aenter__())
        await asyncio.sleep(0)
        for _ in range(3):
            pool._serve()
        await waiting
        assert pool.metrics.replaced == 1
        assert len(pool._idle) == 2


async def test_what_cannot_be_removed_takes_room_for_a_while_only(
    backend: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.pool._DYING_S", 0.05)
    async with pool_of(backend, max_size=1) as pool:
        backend.is_away = True
        async with pool.lease() as sandbox:
            await sandbox.python("pass")
            backend.started[0].destroy()
        backend.fails = SandboxUnavailable("the engine does not answer")
        with pytest.raises(SandboxUnavailable, match="does not answer"):
            async with asyncio.timeout(1), pool.lease():
                pass


async def test_who_waits_in_vain_hears_what_there_is(backend: Fake) -> None:
    async with pool_of(backend, max_size=2, wait_s=0.05) as pool, pool.lease(), pool.lease():
        backend.is_away = True
        pool._drop(backend.started[1])
        with pytest.raises(SandboxUnavailable, match=r"1 are in use .* 1 are being removed"):
            async with pool.lease():
                pass


async def test_a_sandbox_is_nobodys_when_its_lease_has_ended(backend: Fake) -> None:
    async with pool_of(backend) as pool:
        async with pool.lease() as first:
            pass
        with pytest.raises(SandboxDied, match="its lease has ended"):
            await first.python("pass")
        async with pool.lease() as second:
            with pytest.raises(SandboxDied, match="its lease has ended"):
                await first.python("pass")
            await first.close()
            assert (await second.python("pass")).exit_code == 0
        assert second.id == first.id


async def test_a_spare_that_a_call_still_waits_for_stays_one(backend: Fake) -> None:
    async with pool_of(backend, exec_slots=1) as pool:
        async with pool._exec_slots, pool.lease(fresh=True) as first:
            late = asyncio.create_task(first.python("pass"))
            await asyncio.sleep(0)
        async with pool.lease(fresh=True) as second:
            assert second.id == first.id
        with pytest.raises(SandboxDied, match="its lease has ended"):
            await late
        assert backend.started[0].num_calls == 0


async def test_closing_goes_on_when_it_is_cancelled(backend: Fake) -> None:
    pool = pool_of(backend)
    async with pool.lease():
        closing = [asyncio.create_task(pool.close()) for _ in range(3)]
        await asyncio.sleep(0.001)
        for _ in range(3):
            closing[0].cancel()
            await asyncio.sleep(0)
        assert not any(task.done() for task in closing)
        with pytest.raises(asyncio.CancelledError):
            await closing[0]
        assert backend.num_closed == 1
        await asyncio.gather(*closing[1:])
        await pool.close()
    assert backend.num_closed == 1


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


@pytest.mark.parametrize(("name", "value"), [("max_size", 1001), ("cpus", 1e9), ("cpus", 1e-9)])
def test_settings_that_no_machine_can_keep_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=f"{name}\n.*should be (less|greater) than"):
        Settings(**{name: value})
