"""Check 15: the configuration travels to another process, and plays equally there."""

import asyncio
import multiprocessing
import pickle
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from agentgym.check.played import Episode
from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject, limited
from agentgym.env import EnvConfig
from agentgym.errors import AgentGymError, place_of

_BEAT_S = 0.02


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
    episode = (await subject.repeatable())[0]
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
    here, there = spawn.Pipe(duplex=False)
    work = (frozen, episode.task, episode.seed, episode.policy, episode.messages)
    process = spawn.Process(target=_report, args=(there, *work))
    with here:
        with there:  # only the process keeps it, so that its end is seen
            process.start()
        try:
            return await _answer(here, process)
        finally:
            process.kill()  # whatever hangs in it
            process.join()


async def _answer(here: Connection, process: SpawnProcess) -> list[dict[str, Any]]:
    """Wait until the process has answered and ended; raise what it raised."""
    await _until(here.poll)
    answer: list[dict[str, Any]] | Exception | None = None
    with suppress(EOFError):
        answer = here.recv()
    await _until(lambda: not process.is_alive())
    if answer is None:
        raise Failed(f"in another process, Python itself ended with code {process.exitcode}")
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  no event tells of another process
        await asyncio.sleep(_BEAT_S)


def _report(there: Connection, *work: Any) -> None:
    """Play an episode, and send what came of it to the process that waits."""
    answer: list[dict[str, Any]] | Exception
    try:
        answer = _play_there(*work)
    except (AgentGymError, Failed, NotChecked) as error:
        answer = error
    except Exception as error:  # noqa: BLE001  told there; not every one can be pickled
        text = f"in another process: {type(error).__name__}: {error}"
        answer = Failed(text, where=place_of(error))
    there.send(answer)


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
