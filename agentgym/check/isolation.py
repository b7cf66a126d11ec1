"""Check 9: episodes beside each other do not disturb each other, and none holds up the event loop."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from agentgym.check.played import Episode
from agentgym.check.report import Failed
from agentgym.check.subject import Subject

_COPIES = 4
_STALL_S = 0.5  # a loop that is held up this long holds up every other episode
_BEAT_S = 0.02


async def check_isolation(subject: Subject) -> str:
    """Play known episodes again, several at a time, and look for what came out otherwise."""
    episodes = await subject.repeatable() * _COPIES
    with _watched_loop(subject.folder) as stalls:
        again = await asyncio.gather(*(_again(subject, episode) for episode in episodes))
    if stalls:
        raise Failed(
            f"async code held up the event loop for {stalls[0].seconds:.1f} s",
            where=stalls[0].where,
            hint="await it, use `await asyncio.to_thread(...)`, or make the function a plain `def`",
        )
    for episode, other in zip(episodes, again, strict=True):
        if not other.timed_out and (difference := episode.difference(other)):
            raise Failed(
                f"with {episode.policy}, task {episode.task.id}, beside other episodes differs in "
                f"{difference}",
                where=episode.where,
                hint="keep the state of an episode in the instance, not in the module or the class",
            )
    return f"{len(episodes)} at the same time"


async def _again(subject: Subject, episode: Episode) -> Episode:
    return await subject.play(
        episode.task, seed=episode.seed, policy=episode.policy, messages=episode.messages
    )


class _Stall(NamedTuple):
    where: str
    since: float
    seconds: float


@contextmanager
def _watched_loop(folder: Path | None) -> Iterator[list[_Stall]]:
    """Collect where code of `folder` kept the running loop from turning, and for how long.

    Many tasks may run in one turn, so what counts is how long one of them holds the loop.
    """
    stalls: list[_Stall] = []
    beats = 0
    stopped = threading.Event()
    loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()

    async def heart() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(_BEAT_S)

    def watch() -> None:
        runs, since = None, time.monotonic()
        while not stopped.wait(_BEAT_S):
            before, runs = runs, (beats, asyncio.current_task(loop))
            if runs != before:
                since = time.monotonic()
            elif (held := time.monotonic() - since) > _STALL_S:
                where = _place(sys._current_frames().get(loop_thread), folder)
                _note(stalls, where, since, held)

    pulse = loop.create_task(heart())
    watcher = threading.Thread(target=watch, daemon=True, name="agentgym-check")
    watcher.start()
    try:
        yield stalls
    finally:
        pulse.cancel()
        stopped.set()
        watcher.join()


def _note(stalls: list[_Stall], where: str | None, since: float, seconds: float) -> None:
    """Add a stall, or say that the last one goes on."""
    if stalls and stalls[-1].since == since:
        stalls[-1] = stalls[-1]._replace(seconds=seconds)
    elif where is not None:
        stalls.append(_Stall(where, since, seconds))


def _place(frame: FrameType | None, folder: Path | None) -> str | None:
    """Return the innermost line of the environment's own folder that is being run."""
    if frame is None or folder is None:
        return None
    for each in reversed(traceback.extract_stack(frame)):
        if Path(each.filename).is_relative_to(folder):
            return f"{each.filename}:{each.lineno}"
    return None
