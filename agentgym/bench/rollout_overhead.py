"""Steps a second of rollouts in which nothing takes time but the rollout itself."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agentgym.bench.measure import Side, steps_per_second
from agentgym.bench.rollout import Row
from agentgym.bench.rollout_env import TrivialConfig, make_task
from agentgym.metrics import JsonlSink, Metrics
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.episode import Job
from agentgym.rollout.scripted import scripted_policies
from agentgym.store.episodes import EpisodeWriter

_TASKS, _GROUP_SIZE = 16, 8  # as many as a step of a training has


def bench_overhead(*, seconds: float, concurrency: int, folder: Path) -> list[Row]:
    """Measure on one core: a plain loop over the environments, and `collect`, by turns.

    `collect` has its deadlines, records every episode, and logs the scalars of every pass.
    """
    config = TrivialConfig()
    tasks = [make_task(number) for number in range(_TASKS)]
    jobs = make_jobs(tasks, group_size=_GROUP_SIZE, run_seed=0, prefix="bench", env=config.id)
    folder.mkdir(parents=True)
    metrics = Metrics(JsonlSink(folder / "metrics.jsonl"))
    scheduler = RolloutConfig(concurrency=concurrency).scheduler()
    try:
        with _one_core(), asyncio.Runner() as runner, EpisodeWriter(folder) as writer:

            async def roll_out() -> int:
                played = await collect(
                    jobs,
                    config=config,
                    make_policy=scripted_policies("scripted"),
                    on_episode=writer.append,
                    scheduler=scheduler,
                )
                metrics.log(0, scheduler.scalars())
                return sum(len(each.steps) for each in played)

            sides = [
                Side("raw", 1, lambda: _play(config, jobs)),
                Side("scheduler", concurrency, lambda: runner.run(roll_out())),
            ]
            rates = steps_per_second(sides, seconds=seconds)
    finally:
        metrics.close()
    return [
        Row("overhead", side.framework, None, rate / rates[0], rate)
        for side, rate in zip(sides, rates, strict=True)
    ]


def _play(config: TrivialConfig, jobs: Sequence[Job]) -> int:
    """Let script and environment take turns, without anything else."""
    steps = 0
    for job in jobs:
        env = config.build()
        script = env.expert(job.task)
        talk = [*env.reset(job.task, seed=job.seed).messages]
        is_over = False
        while not is_over:
            said = script(talk)
            answer = env.step(said)
            talk += [said, *answer.messages]
            is_over = answer.terminated
            steps += 1
    return steps


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep all threads of this process, and those begun meanwhile, on one core, where Linux can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    _pin({min(before)})
    try:
        yield
    finally:
        _pin(before)


def _pin(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread), cores)
