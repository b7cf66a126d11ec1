"""Checks that play episodes: 4 tools, 6 shapes, 7 repeat, 8 seeds, 10 rewards, 12 malformed."""

import math
from collections import deque

from agentgym.check.played import Episode
from agentgym.check.report import Failed, NotChecked
from agentgym.check.schemas import tool_problems
from agentgym.check.subject import Subject
from agentgym.rollout.nonsense import nonsense
from agentgym.types import OUTCOME

_MAX_OBSERVATION_CHARS = 100_000
_OTHER_SEEDS = (1001, 1002, 1003)


async def check_tools(subject: Subject) -> str:
    """Look at the tools that reset offers."""
    task = (await subject.some_tasks())[0]
    async with subject.open(task, seed=0) as (_, reset):
        names = [tool.name for tool in reset.tools]
        if len(set(names)) < len(names):
            raise Failed(f"two tools have the same name: {', '.join(sorted(names))}")
        for tool in reset.tools:
            if problems := list(tool_problems(tool)):
                lacks_words = any("has no description" in each for each in problems)
                raise Failed(
                    f"tool {tool.name!r}: {'; '.join(problems)}",
                    hint="describe the tool and every parameter; a function does so in its docstring"
                    if lacks_words
                    else None,
                )
    return ", ".join(names) or "no tools"


async def check_shapes(subject: Subject) -> str:
    """Play a few episodes; whatever is answered is looked at while playing."""
    episodes = await subject.play_all()
    policies = dict.fromkeys(episode.policy for episode in episodes)
    return f"{len(episodes)} episodes with {', '.join(policies)}"


async def check_repeat(subject: Subject) -> str:
    """Say the same once more with the same seed."""
    episodes = await subject.repeatable()
    for episode in episodes:
        again = await _again(subject, episode, seed=episode.seed)
        if again.timed_out:
            continue
        if difference := episode.difference(again):
            raise Failed(
                f"with {episode.policy}, task {episode.task.id}, the second time differs in "
                f"{difference}",
                where=episode.where,
                hint="take all randomness from a random.Random(seed) made in reset",
            )
    return f"{len(episodes)} episodes"


async def check_seeds(subject: Subject) -> str:
    """Say the same with other seeds."""
    differs = None
    for episode in await subject.episodes():
        if (await _again(subject, episode, seed=episode.seed)).difference(episode):
            raise NotChecked("the same seed does not repeat: see check 7")
        for seed in _OTHER_SEEDS:
            again = await _again(subject, episode, seed=seed)
            differs = differs or episode.difference(again)
    where = episode.where
    declared = subject.config_class.uses_seed
    if declared and differs is None:
        raise Failed(
            f"uses_seed is True, but {1 + len(_OTHER_SEEDS)} seeds give equal episodes",
            where=where,
            hint="draw from `seed` in reset, or leave uses_seed out",
        )
    if differs and not declared:
        raise Failed(
            f"another seed changes the episode, but uses_seed is False: {differs}",
            where=where,
            hint="declare uses_seed: ClassVar[bool] = True",
        )
    return "seeds differ" if declared else "declared constant"


async def check_rewards(subject: Subject) -> str:
    """Look at the terms of every step and at the sum of `outcome`."""
    low, high = subject.config_class.reward_range
    outcomes: dict[str, list[float]] = {}
    for episode in await subject.episodes():
        for number, turn in enumerate(episode.turns):
            for name, value in turn.answer.reward.items():
                if not math.isfinite(value):
                    raise _bad(episode, f"step {number} gave {name!r} = {value}", "mend the score")
            if turn.answer.terminated and OUTCOME not in turn.answer.reward:
                raise _bad(
                    episode,
                    f"step {number} ended the episode without the term {OUTCOME!r}",
                    f"give {{{OUTCOME!r}: ...}} with every end",
                )
        if not low <= episode.outcome <= high:
            raise _bad(
                episode,
                f"the outcome {episode.outcome:g} lies outside of {low:g} to {high:g}",
                "declare reward_range, or mend the score",
            )
        outcomes.setdefault(episode.policy, []).append(episode.outcome)
    means = (f"{policy} {sum(each) / len(each):.2f}" for policy, each in outcomes.items())
    return f"mean outcome: {', '.join(means)}"


async def check_malformed(subject: Subject) -> str:
    """Say what a broken model might; each must be answered, and nothing may raise."""
    task = (await subject.episodes())[0].task
    async with subject.open(task, seed=0) as (_, reset):
        waiting = deque(nonsense(reset.tools))
    number = len(waiting)
    while waiting:
        async with subject.open(task, seed=0) as (env, reset):
            over = False
            while waiting and not over:
                what, message = waiting.popleft()
                try:
                    answer = (await subject.step(env, reset, message)).answer
                except Exception as error:
                    error.add_note(f"answering {what}")
                    raise
                size = sum(len(each.content) for each in answer.messages)
                if size > _MAX_OBSERVATION_CHARS:
                    raise Failed(
                        f"{what} was answered by {size:,} characters",
                        hint=f"answer with at most {_MAX_OBSERVATION_CHARS:,}",
                    )
                over = answer.terminated or answer.truncated
    return f"{number} messages"


def _bad(episode: Episode, what: str, hint: str) -> Failed:
    return Failed(
        f"with {episode.policy}, task {episode.task.id}: {what}", where=episode.where, hint=hint
    )


async def _again(subject: Subject, episode: Episode, *, seed: int) -> Episode:
    return await subject.play(
        episode.task, seed=seed, policy=episode.policy, messages=episode.messages
    )
