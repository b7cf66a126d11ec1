"""Thousands of episodes in one process: memory, deadlines, and who is let on."""

import asyncio
import gc
import logging
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.episode import DeadlineConfig
from agentgym.rollout.scripted import scripted_policies
from agentgym.store.episodes import EpisodeWriter
from agentgym.types import Message, Task, Trajectory

logger = logging.getLogger(__name__)

TOOL_S = 0.2
TURNS = 5
LATE_S = 1.0
HANGS = "hangs"


class Waiting(Env):
    """Takes its time for each answer; of some tasks it never comes."""

    def reset(self, task: Task, *, seed: int) -> Reset:
        self._task, self._turn = task, 0
        return Reset((Message("user", task.prompt),))

    async def step(self, message: Message) -> EnvStep:
        self._turn += 1
        await asyncio.sleep(3600 if self._task.answer == HANGS and self._turn > 1 else TOOL_S)
        is_last = self._turn == TURNS
        return EnvStep((Message("user", f"{self._turn}"),), {"outcome": float(is_last)}, is_last)

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        return lambda messages: Message("assistant", f"{len(messages)}")


class Computing(Waiting):
    """Answers at once, and has no end."""

    inline = True

    def step(self, message: Message) -> EnvStep:  # type: ignore[override]
        return EnvStep((Message("user", "go on"),), {"outcome": 0.0})


class Config(EnvConfig):
    id = "test/Many-v0"
    max_turns: int = 10**9
    kind: type[Env] = Waiting

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task("x")

    def build(self, sandboxes: Any = None) -> Env:
        return self.kind()


async def wave(folder: Path, *, episodes: int, hang: int, episode_s: float) -> list[Trajectory]:
    """Play so many episodes at once, of which every `hang`-th has a tool that hangs; record them."""
    tasks = [
        Task(f"task {number}", answer=HANGS if number % hang == 0 else None)
        for number in range(episodes)
    ]
    with EpisodeWriter(folder) as writer:
        return await collect(
            make_jobs(tasks, group_size=1, run_seed=0, prefix="w", env=Config.id),
            config=Config(),
            make_policy=scripted_policies("scripted"),
            rollout=RolloutConfig(
                concurrency=episodes, deadlines=DeadlineConfig(episode_s=episode_s)
            ),
            on_episode=writer.append,
        )


def check(played: list[Trajectory], *, episode_s: float) -> None:
    """Each episode ended, and those that hang when their time was up."""
    for each in played:
        if each.task.answer == HANGS:
            assert (each.end, each.reason) == ("truncated", "episode_deadline")
            assert episode_s <= each.seconds < episode_s + LATE_S
        else:
            assert (each.end, len(each.steps), each.outcome) == ("terminated", TURNS, 1.0)


@pytest.mark.parametrize(
    ("episodes", "waves", "episode_s"),
    [
        pytest.param(100, 1, 3.0, id="sample"),
        pytest.param(2000, 24, 6.0, id="soak", marks=pytest.mark.soak),
    ],
)
async def test_many_waiting_episodes_keep_their_deadlines_in_flat_memory(
    tmp_path: Path, episodes: int, waves: int, episode_s: float
) -> None:
    check(
        await wave(tmp_path, episodes=episodes, hang=10, episode_s=episode_s), episode_s=episode_s
    )
    used: list[float] = []
    for _ in range(waves - 1):
        played = await wave(tmp_path, episodes=episodes, hang=10, episode_s=episode_s)
        check(played, episode_s=episode_s)
        del played
        gc.collect()
        used.append(psutil.Process().memory_info().rss / 2**20)
    if used:
        early, late = statistics.median(used[: waves // 3]), statistics.median(used[-waves // 3 :])
        logger.info("resident memory after each wave, MiB: %s", [round(each) for each in used])
        assert late < early + 20


@pytest.mark.parametrize("episodes", [100, pytest.param(2000, marks=pytest.mark.soak, id="soak")])
async def test_deadlines_that_fall_at_one_moment_are_all_kept(
    tmp_path: Path, episodes: int
) -> None:
    played = await wave(tmp_path, episodes=episodes, hang=1, episode_s=0.5)
    check(played, episode_s=0.5)
    late = max(each.seconds for each in played) - 0.5
    logger.info("%d deadlines at one moment: the last is kept %.3f s late", episodes, late)


async def test_episodes_that_never_wait_let_others_go_on_and_have_deadlines() -> None:
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    played = await collect(
        make_jobs([Task("x")], group_size=8, run_seed=0, prefix="w", env=Config.id),
        config=Config(kind=Computing),
        make_policy=scripted_policies("scripted"),
        rollout=RolloutConfig(deadlines=DeadlineConfig(episode_s=0.3)),
    )
    watching.cancel()
    assert {(each.end, each.reason) for each in played} == {("truncated", "episode_deadline")}
    assert all(each.seconds < 0.3 + LATE_S for each in played)
    assert statistics.median(gaps) < 0.05  # 8 episodes, each 0.2 ms
