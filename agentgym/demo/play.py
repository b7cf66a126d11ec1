"""Episodes of the demo: really played, by a policy that is told what to say."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym.demo.actor import Actor
from agentgym.demo.cues import Cue
from agentgym.demo.env import DemoConfig
from agentgym.demo.sampler import Sampler, ToldPolicy
from agentgym.demo.tokenizer import WordTokenizer
from agentgym.engine import SamplingConfig
from agentgym.env import Env
from agentgym.renderer import Renderer
from agentgym.renderers.chat import ChatRenderer
from agentgym.rollout.episode import Job, run_episode
from agentgym.rollout.policy import Policy
from agentgym.types import Completion, Task, Timings, Trajectory, derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One episode to play."""

    job: Job
    cue: Cue
    given: tuple[Completion, ...] = ()
    """What its first turns say, of an episode that goes on from the middle of another."""


class Stage:
    """Where episodes are played, one after the other."""

    def __init__(self, tokenizer: WordTokenizer, sampling: SamplingConfig) -> None:
        self._tokenizer = tokenizer
        self._renderer: Renderer = ChatRenderer(tokenizer)
        self._sampling = sampling
        self._config = DemoConfig()

    async def play(self, parts: Iterable[Part], *, version: int) -> list[list[Trajectory]]:
        """Return the attempts at each part, in order: one, or a fault and a second."""
        return [await self._attempts(part, version) for part in parts]

    async def _attempts(self, part: Part, version: int) -> list[Trajectory]:
        first = await self._episode(part, version)
        if first.end != "error":
            return [first]
        again = replace(part, job=part.job.again(), cue=replace(part.cue, breaks_at=None))
        return [first, await self._episode(again, version)]

    async def _episode(self, part: Part, version: int) -> Trajectory:
        def make(env: Env, task: Task, seed: int) -> Policy:
            sampler = Sampler(self._tokenizer.encode, part.cue, version=version, given=part.given)
            actor = Actor(env.expert(task), part.cue, seed=seed)
            return ToldPolicy(actor, part.cue, sampler, self._renderer, self._sampling)

        trajectory = await run_episode(
            part.job, config=self._config, make_policy=make, policy_name=f"demo@{version}"
        )
        _set_times(trajectory)
        return trajectory


def _set_times(trajectory: Trajectory) -> None:
    """Put drawn seconds in the place of those that it took, which are never the same twice."""
    chance = np.random.default_rng(derive_seed("seconds", trajectory.id))
    now = 0.0
    for step in trajectory.steps:
        tokens = len(step.completion.token_ids) if step.completion else 0
        generate = round(0.05 + 0.01 * tokens * (0.5 + chance.random()), 4)
        env = round(0.002 + 0.05 * chance.random() ** 4, 4)
        step.timings = Timings(generate_s=generate, env_s=env, started_s=round(now, 4))
        now += generate + env
    trajectory.seconds = round(now + 0.01, 4)


def forked(parent: Trajectory, *, step: int, samples: int, skill: float) -> Iterator[Part]:
    """Yield episodes that go on from the middle of another, after so many of its steps."""
    given = tuple(each.completion for each in parent.steps[:step] if each.completion)
    for member in range(samples):
        job = Job(
            task=parent.task, group_id=f"fork-{parent.id}-{step}", member=member, run_seed=step
        )
        yield Part(job=job, cue=Cue(skill=skill), given=given)


def last_attempts(played: Sequence[Sequence[Trajectory]]) -> list[Trajectory]:
    """Return what counts of each part."""
    return [attempts[-1] for attempts in played]
