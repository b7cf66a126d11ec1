"""Recorded episodes, and agentgym's own ways to play them again."""

import inspect
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from agentgym.env import Env, EnvConfig, first_tasks
from agentgym.errors import EnvError
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.episode import Job, call_env, run_episode
from agentgym.rollout.policy import ContextFull, MakePolicy, Policy, Reply
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, ToolSpec

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_MAX_EPISODES = 64
_MAX_STEPS = 2000  # a pass should be short, so that many fit into a few seconds
_MAX_RECORDING_S = 2.0


class Episode(NamedTuple):
    """Who acts how: what every side plays."""

    job: Job
    seed: int
    messages: tuple[Message, ...]


async def record(config: EnvConfig, sandboxes: "Sandboxes | None") -> list[Episode]:
    """Let chance play a few tasks, for at most a moment.

    Raises:
        EnvError: there is no task, or an episode ended by a fault.
    """
    tasks = first_tasks(config, config.held_out_split, number=_MAX_EPISODES)
    if not tasks:
        raise EnvError(f"{config.id} cannot be measured: {config.held_out_split!r} has no task")
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="bench", env=config.id)
    episodes: list[Episode] = []
    began, steps = time.perf_counter(), 0
    for job in jobs:
        played = await run_episode(
            job,
            config=config,
            make_policy=scripted_policies("scripted:random"),
            sandboxes=sandboxes,
        )
        if played.end == "error":
            raise EnvError(f"{config.id} cannot be measured: {played.reason}")
        episodes.append(Episode(job, job.seed, tuple(step.message for step in played.steps)))
        steps += len(played.steps)
        if steps >= _MAX_STEPS or time.perf_counter() - began > _MAX_RECORDING_S:
            break
    return episodes


def is_direct(env: Env) -> bool:
    """Whether its methods are called without an event loop."""
    return env.inline and not inspect.iscoroutinefunction(env.step)


def play_directly(config: EnvConfig, episodes: Sequence[Episode]) -> int:
    """Play through the contract, without a loop and without a record."""
    steps = 0
    for job, seed, messages in episodes:
        env = config.build()
        env.reset(job.task, seed=seed)
        for message in messages:
            answer = env.step(message)
            steps += 1
            if answer.terminated or answer.truncated:  # type: ignore[union-attr]
                break
        env.close()
    return steps


async def play_on_loop(
    config: EnvConfig, episodes: Sequence[Episode], sandboxes: "Sandboxes | None"
) -> int:
    """Play through the contract as a rollout calls it, without a record."""
    steps = 0
    for job, seed, messages in episodes:
        env = config.build(sandboxes)
        await call_env(env, env.reset, job.task, seed=seed)
        for message in messages:
            answer = await call_env(env, env.step, message)
            steps += 1
            if answer.terminated or answer.truncated:
                break
        closing = env.close()
        if closing is not None:
            await closing
    return steps


async def roll_out(
    config: EnvConfig,
    episodes: Sequence[Episode],
    sandboxes: "Sandboxes | None",
    *,
    concurrency: int,
) -> int:
    """Play with `collect`: deadlines, keys, timings and the record included."""
    trajectories = await collect(
        [job for job, _, _ in episodes],
        config=config,
        make_policy=_recorded({job.task.id: messages for job, _, messages in episodes}),
        rollout=RolloutConfig(concurrency=concurrency),
        sandboxes=sandboxes,
    )
    return sum(len(trajectory.steps) for trajectory in trajectories)


def _recorded(messages: dict[str, tuple[Message, ...]]) -> MakePolicy:
    def make(env: Env, task: Task, seed: int) -> Policy:
        return _Recorded(messages[task.id])

    return make


class _Recorded(Policy):
    """Says again what was said, at once."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = iter(messages)

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Return the next message."""
        message = next(self._messages, None)
        if message is None:
            raise ContextFull
        return Reply(message)
