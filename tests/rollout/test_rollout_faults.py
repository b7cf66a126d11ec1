"""What goes wrong in many episodes at once: bounded, clear, nothing leaked, no false reward."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from pydantic import ConfigDict
from transformers import LlamaConfig, LlamaForCausalLM

from agentgym.engine import SamplingConfig
from agentgym.engines.local import LocalEngine
from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.errors import AgentGymError, BudgetError, EnvError
from agentgym.rollout.budget import BudgetConfig
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs, to_groups, token_policies
from agentgym.rollout.episode import DeadlineConfig, Job
from agentgym.rollout.policy import Policy, Reply
from agentgym.rollout.scheduler import Scheduler
from agentgym.table import build_table
from agentgym.types import Completion, Message, Task, Trajectory

Behaviour = Callable[["Tool"], object]


class ToolConfig(EnvConfig):
    """An environment with one tool, that does what a test says."""

    id = "test/Tool-v0"
    behave: Behaviour
    open: list["Tool"]

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def tasks(self, split):
        yield from (Task(f"task {number}", id=str(number), split=split) for number in range(4000))

    def build(self, sandboxes=None):
        return Tool(self, sandboxes)


class Tool(Env):
    def __init__(self, config: ToolConfig, sandboxes) -> None:
        self.config, self._sandboxes = config, sandboxes
        self._turns = 0
        self._leases = AsyncExitStack()

    async def reset(self, task, *, seed):
        self.task = task
        self.config.open.append(self)
        if self._sandboxes is not None:
            await self._leases.enter_async_context(self._sandboxes.lease())
        return Reset([Message(role="user", content="go")])

    async def step(self, message):
        self._turns += 1
        result = self.config.behave(self)
        if asyncio.iscoroutine(result):
            await result
        is_over = self._turns == 3
        reward = {"outcome": 1.0} if is_over else {}
        return EnvStep([Message(role="user", content="on")], reward, is_over, False)

    async def close(self):
        if self in self.config.open:
            self.config.open.remove(self)
        await self._leases.aclose()


class Says(Policy):
    async def act(self, messages, tools, *, seed):
        await asyncio.sleep(0)
        return Reply(
            Message(role="assistant", content="a"),
            Completion(token_ids=(1, 2), logprobs=(-1.0, -1.0), finish_reason="stop"),
        )


def says(*_: object) -> Policy:
    return Says()


def jobs_of(config: ToolConfig, groups: int, *, size: int = 1) -> list[Job]:
    tasks = [task for task, _ in zip(config.tasks("train"), range(groups), strict=False)]
    return make_jobs(tasks, group_size=size, run_seed=0, prefix="g", env=config.id)


async def test_a_tool_that_hangs_ends_its_episode_and_no_other():
    config = ToolConfig(behave=lambda env: asyncio.sleep(99 if env.task.id == "1" else 0), open=[])
    rollout = RolloutConfig(deadlines=DeadlineConfig(step_s=0.2), max_fault_rate=1)
    began = time.perf_counter()
    found = await collect(
        jobs_of(config, 3, size=2), config=config, make_policy=says, rollout=rollout
    )
    assert [each.end for each in found] == ["terminated"] * 2 + ["error"] * 2 + ["terminated"] * 2
    assert "step of Tool took longer than 0.2 s" in found[2].reason
    assert found[2].attempt == 1
    assert not config.open
    assert time.perf_counter() - began < 10


def broken(of: str) -> Behaviour:
    def behave(env: Tool) -> None:
        if env.task.id == of:
            raise EnvError("the disk is full")

    return behave


async def test_a_group_whose_members_all_fault_is_in_no_table_and_its_reward_is_not_zero():
    config = ToolConfig(behave=broken("1"), open=[])
    rollout = RolloutConfig(max_fault_rate=1)
    found = await collect(
        jobs_of(config, 3, size=4), config=config, make_policy=says, rollout=rollout
    )
    table = build_table(to_groups(found))
    assert table.num_steps == 2 * 4 * 3
    assert {found[at].end for at in range(4, 8)} == {"error"}
    assert not any(step.reward_terms for each in found[4:8] for step in each.steps)


async def test_too_many_faults_end_the_run_with_the_reason_and_leave_nothing():
    def fails(env: Tool) -> None:
        raise EnvError("no database")

    config = ToolConfig(behave=fails, open=[])
    with pytest.raises(AgentGymError, match=r"ended by a fault.*no database"):
        await collect(jobs_of(config, 200), config=config, make_policy=says)
    assert not config.open


class Counted:
    """Leases that are counted; some take a while."""

    def __init__(self, size: int) -> None:
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self.leased = self.most = 0

    @asynccontextmanager
    async def lease(self, *, fresh=False):
        async with self._slots:
            self.leased += 1
            self.most = max(self.most, self.leased)
            try:
                await asyncio.sleep(random.random() / 500)
                yield
            finally:
                self.leased -= 1

    def room(self):
        return self._size - self.leased


@pytest.mark.parametrize("moment", range(25))
async def test_whenever_it_is_cancelled_every_sandbox_is_given_back(moment):
    rng = random.Random(moment)
    config = ToolConfig(behave=lambda env: asyncio.sleep(rng.random() / 200), open=[])
    sandboxes, scheduler = Counted(8), Scheduler(slots=4)
    work = asyncio.create_task(
        collect(
            jobs_of(config, 30, size=4),
            config=config,
            make_policy=says,
            sandboxes=sandboxes,
            scheduler=scheduler,
        )
    )
    await asyncio.sleep(rng.random() / 10)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, 5)
    assert sandboxes.leased == 0
    assert not config.open
    await asyncio.wait_for(scheduler.seat(), 1)  # nobody holds a seat or a turn
    assert scheduler.scalars()["rollout/in_flight"] > 0


async def test_no_more_episodes_are_open_than_there_are_sandboxes():
    opened: list[int] = []
    config = ToolConfig(behave=lambda env: opened.append(len(env.config.open)), open=[])
    sandboxes = Counted(5)
    await collect(jobs_of(config, 40), config=config, make_policy=says, sandboxes=sandboxes)
    assert sandboxes.most == 5
    assert max(opened) <= 6  # one begins while another one closes


async def test_a_spent_budget_ends_those_under_way_and_begins_no_other():
    config = ToolConfig(behave=lambda env: None, open=[])
    rollout = RolloutConfig(budget=BudgetConfig(tokens=50), concurrency=4)
    seen: list[Trajectory] = []
    with pytest.raises(BudgetError, match=r"rollout\.budget\.tokens = 50.*cut off"):
        await collect(
            jobs_of(config, 100),
            config=config,
            make_policy=says,
            rollout=rollout,
            on_episode=seen.append,
        )
    tokens = sum(len(step.completion.token_ids) for each in seen for step in each.steps)
    assert 50 <= tokens <= 50 + 4 * 2
    assert {each.end for each in seen} == {"terminated", "error"}
    assert not config.open


class Words:
    """A renderer of one word."""

    stop_token_ids = (1,)

    def prompt(self, messages, tools):
        return [2] * 8

    def extend(self, token_ids, messages, tools, *, known):
        return [3] * 4

    def parse(self, token_ids):
        return Message(role="assistant", content="a")


async def test_an_engine_that_dies_with_two_thousand_episodes_in_flight_ends_them_all():
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    engine = LocalEngine(LlamaForCausalLM(config), max_context=64, max_batch=64)
    config = ToolConfig(behave=lambda env: asyncio.sleep(0.05), open=[])
    make = token_policies(engine, Words(), SamplingConfig(max_tokens=4))
    scheduler = Scheduler(most=2000)  # no slots: all of them are at the engine, or at a tool
    work = asyncio.create_task(
        collect(jobs_of(config, 3000), config=config, make_policy=make, scheduler=scheduler)
    )
    while len(config.open) < 2000 and not work.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await engine.close()
    began = time.perf_counter()
    with pytest.raises(AgentGymError, match=r"ended by a fault.*the engine"):
        await work
    assert time.perf_counter() - began < 20
    assert not config.open
