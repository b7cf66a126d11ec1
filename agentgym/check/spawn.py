"""Check 15: the configuration travels to another process, and plays equally there."""

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from agentgym.check.played import Episode
from agentgym.check.report import Failed
from agentgym.check.subject import Subject, limited
from agentgym.env import EnvConfig


async def check_spawn(subject: Subject) -> str:
    """Pickle the configuration, and play an episode in a process that is started afresh."""
    try:
        frozen = pickle.dumps(subject.config)
    except Exception as error:
        raise Failed(
            f"the configuration cannot be pickled: {error}",
            hint="keep open files, locks and functions out of its fields",
        ) from error
    if pickle.loads(frozen) != subject.config:
        raise Failed("the configuration is another one after pickling")
    if subject.config.needs_sandbox:
        return "pickled; not played elsewhere, because it needs a sandbox"
    episode = next(each for each in await subject.episodes() if not each.timed_out)
    facts = [turn.facts for turn in episode.turns]
    there = await limited(_in_another_process(frozen, episode), "an episode in another process")
    if there != facts:
        raise Failed(
            f"task {episode.task.id} plays differently in another process: {_first(facts, there)}",
            where=episode.where,
            hint="hash() and sets of strings differ between processes; so do files and globals",
        )
    return f"{len(facts)} steps"


async def _in_another_process(frozen: bytes, episode: Episode) -> list[dict[str, Any]]:
    spawn = multiprocessing.get_context("spawn")
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        work = (frozen, episode.task, episode.seed, episode.policy, episode.messages)
        return await loop.run_in_executor(pool, _play_there, *work)


def _play_there(frozen: bytes, task: Any, seed: int, policy: str, messages: Any) -> Any:
    config: EnvConfig = pickle.loads(frozen)
    subject = Subject(type(config), overrides=config.model_dump(exclude_unset=True), sandboxes=None)
    played = asyncio.run(subject.play(task, seed=seed, policy=policy, messages=messages))
    return [turn.facts for turn in played.turns]


def _first(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> str:
    for number, (mine, its) in enumerate(zip(here, there, strict=False)):
        for name, value in mine.items():
            if value != its[name]:
                return f"step {number}: {name}: {value!r:.100} and {its[name]!r:.100}"
    return f"{len(here)} and {len(there)} steps"
