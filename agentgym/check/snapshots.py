"""Check 27: where an environment can be forked, the fork goes on as the original does."""

from collections.abc import Sequence

from agentgym.check.played import Episode, Turn
from agentgym.check.report import Failed
from agentgym.check.subject import Subject, limited
from agentgym.env import Env
from agentgym.types import Message


async def check_snapshot(subject: Subject) -> str:
    """Take a snapshot in the middle, restore it into a fresh instance, and go on in both."""
    if type(await _instance(subject)).snapshot is Env.snapshot:
        return "it has no snapshots"
    longest = max(await subject.episodes(), key=lambda episode: len(episode.turns))
    middle = len(longest.turns) // 2
    first, second = longest.messages[:middle], longest.messages[middle:]
    async with subject.open(longest.task, seed=longest.seed) as (env, reset):
        for message in first:
            await subject.step(env, reset, message)
        blob = await limited(env.snapshot(), "snapshot")
        if not isinstance(blob, bytes):
            raise Failed(f"snapshot returned {type(blob).__name__}, expected bytes")
        turns = [await subject.step(env, reset, message) for message in second]
    again = await _restored(subject, longest, blob, second)
    for number, (turn, other) in enumerate(zip(turns, again, strict=True)):
        for name, value in turn.facts.items():
            if value != other.facts[name]:
                raise Failed(
                    f"after restore, step {middle + number}: {name}: {value!r:.120} and "
                    f"{other.facts[name]!r:.120}",
                    where=longest.where,
                    hint="put everything that step reads into the snapshot",
                )
    return f"forked after {middle} of {len(longest.turns)} steps"


async def _restored(
    subject: Subject, episode: Episode, blob: bytes, messages: Sequence[Message]
) -> list[Turn]:
    async with subject.open(episode.task, seed=episode.seed) as (env, reset):
        await limited(env.restore(blob), "restore")
        return [await subject.step(env, reset, message) for message in messages]


async def _instance(subject: Subject) -> Env:
    async with subject.open((await subject.episodes())[0].task, seed=0) as (env, _):
        return env
