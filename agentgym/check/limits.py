"""Check 13: an episode ends in one way, at max_turns at the latest, and its end holds."""

import math
from contextlib import suppress

from agentgym.check.report import Failed
from agentgym.check.subject import Subject, limited
from agentgym.env import Env
from agentgym.rollout.episode import call_env
from agentgym.types import Message

_FEW_TURNS = 2


async def check_limits(subject: Subject) -> str:
    """Shorten the episodes, and go on after their end."""
    tasks = await subject.some_tasks()
    short = subject.config.model_copy(update={"max_turns": _FEW_TURNS})
    ends = set()
    for trajectory in await subject.rollouts(tasks, "scripted:random", config=short):
        if len(trajectory.steps) > _FEW_TURNS:
            raise Failed(f"max_turns = {_FEW_TURNS} gave {len(trajectory.steps)} turns")
        ends.add(trajectory.end)
    for episode in await subject.episodes():
        for number, turn in enumerate(episode.turns):
            if turn.answer.terminated and turn.answer.truncated:
                raise Failed(
                    f"step {number} said terminated and truncated",
                    where=episode.where,
                    hint="terminated is the task's own end, truncated a limit's",
                )
    await _check_after_the_end(subject)
    return f"ended by {' and '.join(sorted(ends))}"


async def _check_after_the_end(subject: Subject) -> None:
    """Ask for the terms of a truncation in the middle, and step on after the end."""
    episode = (await subject.episodes())[0]
    async with subject.open(episode.task, seed=episode.seed) as (env, _):
        terms = dict(await limited(call_env(env, env.truncate), "truncate"))
        bad = {name: value for name, value in terms.items() if not _is_finite(value)}
        if bad:
            raise Failed(
                f"truncate gave {bad}, expected finite numbers",
                where=episode.where,
                hint="return {'outcome': ...}, or leave truncate out",
            )
    async with subject.open(episode.task, seed=episode.seed) as (env, _):
        for message in [*episode.messages, Message("assistant", "once more")]:
            await limited(_try_step(env, message), "step after the end")


async def _try_step(env: Env, message: Message) -> None:
    with suppress(Exception):  # it may refuse; it must not hang
        await call_env(env, env.step, message)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
