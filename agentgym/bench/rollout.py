"""How much of an engine's throughput is left where the tools of episodes take their time."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agentgym.bench.rollout_engine import Metered, Request
from agentgym.bench.rollout_env import WaitingConfig
from agentgym.bench.rollout_modes import MODES, Play, endless_jobs
from agentgym.engine import Engine
from agentgym.errors import AgentGymError, ConfigError
from agentgym.renderer import Renderer

WORKLOADS = {"exponential": WaitingConfig(), "longtail": WaitingConfig(slow_share=0.05)}
MAX_CONTEXT = 1024
"""More than any episode here needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    workload: str
    mode: str
    tokens_per_second: float | None
    """Sampled tokens; the median over rounds. None: nothing was sampled."""
    ratio_to_raw: float
    """The median of the ratios of single rounds; of steps where nothing was sampled."""
    steps_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


class Rate(NamedTuple):
    """What was done in one window."""

    tokens: float
    """A second."""
    steps: float
    """A second."""
    requests: float
    """At the engine at once, in the mean."""


async def bench_rollouts(
    engine: Engine,
    renderer: Renderer,
    *,
    workload: str,
    modes: Sequence[str],
    rounds: int,
    seconds: float,
    streams: int,
    folder: Path,
) -> "AsyncIterator[tuple[Row, list[Rate]]]":
    """Yield a row for each mode, with the rates of its rounds, when all rounds are done.

    The modes take turns, in both orders. Every mode has the same episodes in a round: as many
    tokens in each turn, and tools that take as long. It plays for twice `seconds`, of which the
    first half is not counted, while there is always an episode that waits to begin; what is then
    under way is cancelled. Lock-step plays whole batches for `seconds`, all of which count: it
    fills and drains in every turn.

    Raises:
        ConfigError: nothing was answered in so short a time.
        EngineError: the engine failed.
    """
    rates: dict[str, list[Rate]] = {mode: [] for mode in modes}
    for number in range(rounds):
        for mode in modes if number % 2 == 0 else reversed(modes):
            salt = f"-{workload}-{number}-{mode}"
            clock = asyncio.get_running_loop().time
            meter = Metered(engine, clock=clock, salt=salt)
            play = Play(
                engine=meter,
                renderer=renderer,
                env=WORKLOADS[workload],
                streams=streams,
                folder=folder / salt.strip("-"),
            )
            begin, end = await _play(mode, play, run_seed=number, salt=salt, seconds=seconds)
            rates[mode].append(_rate(meter.requests, begin, end))
    for mode, found in rates.items():
        yield _row(workload, mode, found, rates["raw"]), found


async def _play(
    mode: str, play: Play, *, run_seed: int, salt: str, seconds: float
) -> tuple[float, float]:
    """Play, and return when the window began and ended that is to be counted."""
    clock = asyncio.get_running_loop().time
    began = clock()
    is_lockstep = mode == "lockstep"
    ends = began + (seconds if is_lockstep else 2 * seconds)
    jobs = endless_jobs(run_seed=run_seed, salt=salt, is_over=lambda: clock() >= ends)
    playing = asyncio.create_task(MODES[mode](jobs, play))
    try:
        if is_lockstep:
            await playing
            return began, clock()
        done, _ = await asyncio.wait({playing}, timeout=2 * seconds)
        if done:
            await playing
            if clock() < ends:
                raise AgentGymError(f"{mode} ended {ends - clock():.1f} s before its time")
        return began + seconds, ends
    finally:
        playing.cancel()
        await asyncio.wait({playing})


def _rate(requests: Sequence[Request], begin: float, end: float) -> Rate:
    """Count the requests that were answered in a window."""
    answered = [each for each in requests if each.tokens and begin <= each.ended < end]
    if not answered:
        raise ConfigError(
            f"the engine answered nothing in {end - begin:g} s", hint="measure for more --seconds"
        )
    under_way = sum(max(0.0, min(each.ended, end) - max(each.began, begin)) for each in requests)
    seconds = end - begin
    return Rate(
        sum(each.tokens for each in answered) / seconds,
        len(answered) / seconds,
        under_way / seconds,
    )


def _row(workload: str, mode: str, rates: Sequence[Rate], raw: Sequence[Rate]) -> Row:
    return Row(
        workload,
        mode,
        statistics.median(each.tokens for each in rates),
        statistics.median(each.tokens / base.tokens for each, base in zip(rates, raw, strict=True)),
        statistics.median(each.steps for each in rates),
    )
