"""Steps per second of an environment: through the contract, in a rollout, and without agentgym."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agentgym.bench.cases import Case
from agentgym.bench.episodes import (
    Episode,
    is_direct,
    play_directly,
    play_on_loop,
    record,
    roll_out,
)
from agentgym.bench.measure import Side, steps_per_second
from agentgym.bench.natives import Native
from agentgym.env import EnvConfig
from agentgym.envs import ENVS
from agentgym.errors import MissingError
from agentgym.loading import configure, is_installed, load_env, load_object
from agentgym.rollout.episode import call_env

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    env: str
    framework: str
    """`agentgym` is the bare contract, `agentgym.rollout` the whole of `collect`."""
    concurrency: int
    steps_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def bench_env(case: Case, *, seconds: float, concurrency: Sequence[int]) -> list[Row]:
    """Measure one environment for about so many seconds; every side plays the same actions.

    Raises:
        ConfigError: there is no such environment, or it has keys that must be given.
        MissingError: a package is missing.
        SandboxUnavailable: it needs a sandbox, and none can be started here.
        EnvError: an episode cannot be played, or not the same way on all sides.
    """
    config_class = load_env(case.env, ENVS)
    for package in (*config_class.packages, *case.packages):
        if not is_installed(package):
            raise MissingError(f"{case.name} needs the package {package}")
    hint = f"name a subclass that has a default for it; all keys: agentgym envs {case.env}"
    config = configure(config_class, case.settings, hint=hint)
    with asyncio.Runner() as runner, _sandboxes(config, runner) as sandboxes:
        episodes = runner.run(record(config, sandboxes))
        sides = [
            _contract(config, episodes, sandboxes, runner),
            *_natives(case, config, episodes),
            *(_rollout(config, episodes, sandboxes, runner, each) for each in concurrency),
        ]
        rates = steps_per_second(sides, seconds=seconds)
    return [
        Row(case.name, side.framework, side.concurrency, rate)
        for side, rate in zip(sides, rates, strict=True)
    ]


def _contract(
    config: EnvConfig,
    episodes: Sequence[Episode],
    sandboxes: "Sandboxes | None",
    runner: asyncio.Runner,
) -> Side:
    env = config.build(sandboxes)
    try:
        direct = is_direct(env)
    finally:
        runner.run(call_env(env, env.close))
    if direct:
        return Side("agentgym", 1, lambda: play_directly(config, episodes))
    return Side("agentgym", 1, lambda: runner.run(play_on_loop(config, episodes, sandboxes)))


def _natives(case: Case, config: EnvConfig, episodes: Sequence[Episode]) -> Iterator[Side]:
    if case.native is not None:
        native: Native = load_object(case.native)(config)
        plays = [native.prepare(job.task, messages) for job, _, messages in episodes]
        yield Side(native.framework, 1, lambda: sum(play() for play in plays))


def _rollout(
    config: EnvConfig,
    episodes: Sequence[Episode],
    sandboxes: "Sandboxes | None",
    runner: asyncio.Runner,
    concurrency: int,
) -> Side:
    def play() -> int:
        return runner.run(roll_out(config, episodes, sandboxes, concurrency=concurrency))

    return Side("agentgym.rollout", concurrency, play)


@contextmanager
def _sandboxes(config: EnvConfig, runner: asyncio.Runner) -> "Iterator[Sandboxes | None]":
    from agentgym.sandboxes.local import LocalSandboxConfig, probe

    if not config.needs_sandbox:
        yield None
        return
    runner.run(probe())
    sandboxes = LocalSandboxConfig().build()
    try:
        yield sandboxes
    finally:
        runner.run(sandboxes.close())
