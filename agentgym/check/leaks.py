"""Check 14: an episode that is given up in the middle leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.rollout.collect import make_jobs
from agentgym.rollout.episode import run_episode
from agentgym.rollout.scripted import scripted_policies

_FDS = Path("/proc/self/fd")
_DELAYS_S = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)  # from within reset to within some step
_SETTLE_S = 3.0  # threads and processes take a moment to go
_SLACK = {"open files": 2}  # a library may open one for good when it is first used


async def check_leaks(subject: Subject) -> str:
    """Cancel episodes at several moments, and look for what is still there."""
    if not os.access(_FDS, os.R_OK):
        raise NotChecked("this system has no /proc to look for leaks in")
    tasks = await subject.some_tasks()
    policy = "scripted" if await subject.has_expert() else "scripted:random"
    await subject.rollouts(tasks[:1], policy)  # what is made once for all episodes
    before = _held()
    for delay in _DELAYS_S:
        await _give_up(subject, policy, after_s=delay)
    left = await _left(before)
    if left:
        raise Failed(
            f"given up in the middle, episodes leave behind: {', '.join(left)}",
            hint="free it in close(), which is called after cancellation too",
        )
    return f"given up {len(_DELAYS_S)} times"


async def _give_up(subject: Subject, policy: str, *, after_s: float) -> None:
    config = subject.config
    (job,) = make_jobs(
        (await subject.some_tasks())[:1], group_size=1, run_seed=0, prefix="leak", env=config.id
    )
    make = scripted_policies(policy)
    episode = asyncio.ensure_future(
        run_episode(job, config=config, make_policy=make, sandboxes=subject.sandboxes)
    )
    await asyncio.sleep(after_s)
    episode.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await episode


async def _left(before: Counter[str]) -> list[str]:
    """Return what there is more of than before, once things have settled."""
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        gc.collect()
        more = [
            f"{count - before[kind]} {kind}"
            for kind, count in _held().items()
            if count > before[kind] + _SLACK.get(kind, 0)
        ]
        if not more or asyncio.get_running_loop().time() > deadline:
            return more
        await asyncio.sleep(0.1)


def _held() -> Counter[str]:
    return Counter({name: sum(1 for _ in look()) for name, look in _HELD.items()})


def _processes() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            yield from (task / "children").read_text().split()


def _files() -> Iterator[str]:
    for name in os.listdir(_FDS):
        with contextlib.suppress(OSError):
            yield os.readlink(_FDS / name)


def _temporary() -> Iterator[str]:
    """Yield what lies in the temporary folder and is this user's."""
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                    yield entry.name


_HELD: dict[str, Callable[[], Iterator[object]]] = {
    "processes": _processes,
    "threads": lambda: iter(threading.enumerate()),
    "open files": _files,
    "temporary files": _temporary,
}
