"""vLLM killed while two thousand episodes wait for it."""

import asyncio
import os
import signal
from typing import Any

import pytest
from engine_conformance import Subject, until
from vllm_engines import CONFIG, MARKS

from agentgym.bench.rollout_env import WaitingConfig
from agentgym.engine import SamplingConfig
from agentgym.errors import AgentGymError
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs, token_policies
from agentgym.rollout.scheduler import Scheduler
from agentgym.types import Message, Task, Trajectory

pytestmark = [*MARKS, pytest.mark.soak, pytest.mark.xdist_group("one vLLM")]

EPISODES = 2000


class Words:
    """A renderer of a few tokens."""

    stop_token_ids = ()

    def prompt(self, messages: Any, tools: Any) -> list[int]:
        return [5] * 4

    def extend(self, token_ids: Any, messages: Any, tools: Any, *, known: int) -> list[int]:
        return [6] * 3

    def parse(self, token_ids: Any) -> Message:
        return Message(role="assistant", content="a")


async def play(engine: Any, done: list[Trajectory]) -> list[Trajectory]:
    """All at once, without slots: each has a request under way, or a tool."""
    env = WaitingConfig(turns=2, mean_s=0.05)
    tasks = [Task(f"task {number}") for number in range(EPISODES)]
    return await collect(
        make_jobs(tasks, group_size=1, run_seed=0, prefix="many", env=env.id),
        config=env,
        make_policy=token_policies(engine, Words(), SamplingConfig(max_tokens=16)),  # type: ignore[arg-type]
        rollout=RolloutConfig(deadlines={"generation_s": 600, "episode_s": 900}),
        scheduler=Scheduler(most=EPISODES),
        on_episode=done.append,
    )


async def test_killed_with_two_thousand_in_flight_it_comes_back_and_none_is_lost(
    subject: Subject, session_engine: Any
) -> None:
    done: list[Trajectory] = []
    before = session_engine.restarts
    playing = asyncio.create_task(play(session_engine, done))
    await until(lambda: len(done) >= 50)
    os.kill(session_engine._core.pid, signal.SIGKILL)
    found = await playing
    assert session_engine.restarts == before + 1
    assert {each.end for each in found} == {"terminated"}
    assert {each.attempt for each in found} == {0}
    assert {each.outcome for each in found} == {1.0}


async def test_out_of_restarts_all_of_them_end_soon_with_the_reason(
    subject: Subject, session_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = CONFIG.model_copy(update={"max_restarts": 0})
    monkeypatch.setattr(session_engine, "_config", none)
    done: list[Trajectory] = []
    playing = asyncio.create_task(play(session_engine, done))
    await until(lambda: len(done) >= 50)
    os.kill(session_engine._core.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        with pytest.raises(AgentGymError, match=r"ended by a fault.*vLLM died"):
            await playing
    assert {each.outcome for each in done if each.end == "error"} == {0.0}
