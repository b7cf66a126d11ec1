"""Code that stops the event loop is found and named."""

import asyncio
import logging
import time

from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scheduler import Scheduler
from agentgym.rollout.scripted import scripted_policies
from agentgym.rollout.standstill import Standstill
from agentgym.types import Message, Task


class SleepsConfig(EnvConfig):
    id = "test/Sleeps-v0"

    def tasks(self, split):
        yield Task("go", split=split)

    def build(self, sandboxes=None):
        return Sleeps()


class Sleeps(Env):
    async def reset(self, task, *, seed):
        return Reset([Message(role="user", content="go")])

    async def step(self, message):
        time.sleep(0.7)  # noqa: ASYNC251  what must not be done
        return EnvStep([], {}, terminated=True, truncated=False)


async def test_an_environment_that_blocks_the_loop_is_named_with_its_line(caplog):
    scheduler = Scheduler()
    scheduler.standstill = Standstill(long_s=0.2)
    jobs = make_jobs(
        list(SleepsConfig().tasks("train")), group_size=3, run_seed=0, prefix="a", env="x"
    )
    with caplog.at_level(logging.WARNING):
        found = await collect(
            jobs,
            config=SleepsConfig(),
            make_policy=scripted_policies("scripted:noop"),
            scheduler=scheduler,
        )
    assert [each.end for each in found] == ["terminated"] * 3
    (told,) = [each.getMessage() for each in caplog.records if "stand still" in each.getMessage()]
    assert "Sleeps.step" in told
    assert "test_standstill.py" in told
    assert 1.0 < scheduler.scalars()["rollout/blocked_s"] < 5


async def test_a_loop_that_is_merely_busy_is_let_be(caplog):
    with caplog.at_level(logging.WARNING), Standstill(long_s=0.3) as watch:
        with watch:
            for _ in range(50):
                time.sleep(0.01)  # noqa: ASYNC251
                await asyncio.sleep(0)
        await asyncio.sleep(0.2)
    assert watch.seconds == 0
    assert not caplog.records


class QuickConfig(SleepsConfig):
    def build(self, sandboxes=None):
        return Quick()


class Quick(Sleeps):
    async def step(self, message):
        time.sleep(0.02)  # noqa: ASYNC251
        return EnvStep([], {}, terminated=True, truncated=False)


async def test_many_quick_calls_in_a_row_are_no_standstill_of_any(caplog):
    with caplog.at_level(logging.WARNING), Standstill(long_s=0.2):
        env = Quick()
        for _ in range(40):
            await env.step(None)  # the loop hears of none of them
    assert not caplog.records


async def test_what_blocks_outside_of_environments_is_counted(caplog):
    with caplog.at_level(logging.WARNING), Standstill(long_s=0.2) as watch:
        time.sleep(0.6)  # noqa: ASYNC251
    assert 0.3 < watch.seconds < 2
    assert not caplog.records
