"""Check 19: how fast it is, and whether it grows."""

import gc
import os
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.types import Task

_STATM = Path("/proc/self/statm")
_BUDGET_S = 3.0
_PATIENCE_S = 10.0  # for as many episodes as tell anything about growth
_EPISODES = 100
_FEW_EPISODES = 20
_MAX_GROWTH_BYTES = 32 << 20
_MAX_P95_S = 30.0
_PAGE_BYTES = 4096


async def check_speed(subject: Subject) -> str:
    """Play random episodes one after the other, for a few seconds at most."""
    if not os.access(_STATM, os.R_OK):
        raise NotChecked("this system has no /proc to see memory grow in")
    tasks = await subject.some_tasks()
    gc.freeze()  # what was there before need not be looked through after every episode
    try:
        seconds, sizes = await _play(subject, tasks)
    finally:
        gc.unfreeze()
    p95 = sorted(seconds)[int(0.95 * len(seconds))] if seconds else 0.0
    if p95 > _MAX_P95_S:
        raise Failed(f"one step in twenty takes {p95:.1f} s or more")
    number, grown = len(sizes), sizes[-1] - sizes[len(sizes) // 2]
    if number >= _FEW_EPISODES and grown > _MAX_GROWTH_BYTES:
        raise Failed(
            f"memory grew by {grown >> 20} MiB over {number - number // 2} episodes",
            hint="free what an episode holds in close()",
        )
    rate = len(seconds) / max(1e-9, sum(seconds))
    return (
        f"{number} episodes, {rate:,.0f} steps/s, p95 {p95 * 1000:.2f} ms, {grown >> 10} KiB more"
    )


async def _play(subject: Subject, tasks: Sequence[Task]) -> tuple[list[float], list[int]]:
    """Return the seconds of every step, and how much memory was held after every episode."""
    seconds: list[float] = []
    sizes: list[int] = []
    began = time.perf_counter()
    for task in islice(cycle(tasks), _EPISODES):
        (trajectory,) = await subject.rollouts([task], "scripted:random")
        seconds += [step.timings.env_s for step in trajectory.steps]
        gc.collect()
        sizes.append(_resident())
        budget_s = _BUDGET_S if len(sizes) >= _FEW_EPISODES else _PATIENCE_S
        if time.perf_counter() - began > budget_s:
            break
    return seconds, sizes


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
