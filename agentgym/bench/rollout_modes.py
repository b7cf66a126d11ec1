"""The ways to play episodes whose tools take their time, each with the same work."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from agentgym.bench.rollout_env import ANSWER, WaitingConfig, make_task
from agentgym.engine import Engine, SamplingConfig
from agentgym.renderer import Renderer
from agentgym.rollout.collect import RolloutConfig, collect, token_policies
from agentgym.rollout.episode import Job
from agentgym.rollout.scheduler import Scheduler
from agentgym.store.episodes import EpisodeWriter
from agentgym.types import Message, derive_seed

_GROUP_SIZE = 8
_SAMPLING = SamplingConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What all modes are given."""

    engine: Engine
    renderer: Renderer
    env: WaitingConfig
    streams: int
    """Requests that the engine takes at once, and episodes where nobody says more."""
    folder: Path
    """Where episodes are recorded."""


def endless_jobs(*, run_seed: int, salt: str, is_over: Callable[[], bool]) -> Iterator[Job]:
    """Yield groups of episodes until the time is over; `salt` alone is not the same in all modes."""
    for number in count():
        task = make_task(number, salt=salt)
        for member in range(_GROUP_SIZE):
            if is_over():
                return
            yield Job(task=task, group_id=f"bench-{number}", member=member, run_seed=run_seed)


async def play_raw(jobs: Iterable[Job], play: Play) -> None:
    """Ask for the same completions of the same contexts, without environments and messages."""
    engine, told, waiting = play.engine, _told(play.renderer), iter(jobs)

    async def stream() -> None:
        for job in waiting:
            context = play.renderer.prompt([Message("user", job.task.prompt)], ())
            for turn in range(play.env.turns):
                seed = derive_seed(job.seed, turn)
                found = await engine.generate(context, _SAMPLING, seed=seed, session=job.id)
                context += [*found.token_ids, *told]
            await engine.release(job.id)

    async with asyncio.TaskGroup() as group:
        for _ in range(play.streams):
            group.create_task(stream())


def _told(renderer: Renderer) -> list[int]:
    """Return the tokens between two completions."""
    messages = [Message("user", "Begin."), Message("assistant", "a"), Message("user", ANSWER)]
    ids = [*renderer.prompt(messages[:1], ()), *renderer.complete(messages[1])[:-1]]
    return renderer.extend(ids, messages, (), known=2) or []


async def play_lockstep(jobs: Iterable[Job], play: Play) -> None:
    """Let whole batches take turns: all generate, and when the last is done, all step.

    As the rollout loop of verl-agent does it. Nothing is recorded, and nothing has a deadline.
    """
    make_policy = token_policies(play.engine, play.renderer, _SAMPLING)
    waiting = iter(jobs)
    while len(batch := list(islice(waiting, play.streams))) == play.streams:
        envs = [play.env.build() for _ in batch]
        policies = [
            make_policy(env, job.task, job.seed) for env, job in zip(envs, batch, strict=True)
        ]
        resets = await asyncio.gather(
            *(env.reset(job.task, seed=job.seed) for env, job in zip(envs, batch, strict=True))
        )
        talks = [list(reset.messages) for reset in resets]
        for _ in range(play.env.turns):
            replies = await asyncio.gather(
                *(
                    policy.act(talk, (), seed=job.seed)
                    for policy, talk, job in zip(policies, talks, batch, strict=True)
                )
            )
            answers = await asyncio.gather(
                *(env.step(reply.message) for env, reply in zip(envs, replies, strict=True))
            )
            for talk, reply, answer in zip(talks, replies, answers, strict=True):
                talk += [reply.message, *answer.messages]
        await asyncio.gather(*(policy.close() for policy in policies))


async def play_async(jobs: Iterable[Job], play: Play) -> None:
    """Collect as many episodes at once as the engine takes requests."""
    rollout = RolloutConfig(concurrency=play.streams)
    await _collect(jobs, play, scheduler=rollout.scheduler())


async def play_scheduler(jobs: Iterable[Job], play: Play) -> None:
    """Collect as users do: how many episodes there should be the scheduler finds out."""
    await _collect(jobs, play, scheduler=RolloutConfig().scheduler(slots=play.engine.slots))


async def _collect(jobs: Iterable[Job], play: Play, *, scheduler: Scheduler) -> None:
    with EpisodeWriter(play.folder) as writer:
        await collect(
            jobs,
            config=play.env,
            make_policy=token_policies(play.engine, play.renderer, _SAMPLING),
            on_episode=writer.append,
            scheduler=scheduler,
        )


MODES = {
    "raw": play_raw,
    "lockstep": play_lockstep,
    "async": play_async,
    "scheduler": play_scheduler,
}
