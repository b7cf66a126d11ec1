"""The credit lab: episodes of a policy, the truth about some of their steps, and estimates.

Results are kept as they come: whoever stops the experiment has those of the steps that are done.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from agentgym.env import EnvConfig
from agentgym.errors import AgentGymError
from agentgym.lab.draws import estimate
from agentgym.lab.estimators import compared
from agentgym.lab.exact import ExactKeyDoor
from agentgym.lab.player import Player
from agentgym.lab.probes import Probe, Values, choose_probes, return_from
from agentgym.lab.report import Report, judged, truth_of
from agentgym.lab.settings import LEAST_STEPS, LabSettings
from agentgym.rollout.policy import MakePolicy
from agentgym.types import Trajectory, derive_seed

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


@dataclass(slots=True, eq=False)
class Experiment:
    """Estimators against the true advantages of a policy."""

    config: EnvConfig
    settings: LabSettings
    exact: ExactKeyDoor | None = None
    """Where the policy can be solved."""
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None
    """Sees what is being done, how much of it is, and how much of it there is."""
    pool: dict[str, list[Trajectory]] = field(default_factory=dict, init=False)
    """Episodes that were played, by group."""
    probes: list[Probe] = field(default_factory=list, init=False)
    _player: Player | None = field(default=None, init=False)

    async def play(self, make_policy: MakePolicy, sandboxes: "Sandboxes | None" = None) -> None:
        """Play episodes, and continue them until all is known or the time is up.

        Raises:
            AgentGymError: the environment or the policy fails.
        """
        settings = self.settings
        until = time.monotonic() + 60 * settings.minutes
        self._player = player = Player(self.config, make_policy, sandboxes)
        self.pool = await player.fill_pool(settings, self.on_progress)
        self.probes = choose_probes(
            list(self.pool.values()),
            settings.steps,
            seed=derive_seed(settings.seed, "probes"),
            uses_seed=self.config.uses_seed,
        )
        if self.exact is not None:
            for probe in self.probes:
                probe.worth = self.exact.worths(probe.trajectory)[probe.step]
        await self._continue(list(self._work(player)), until)

    @property
    def done(self) -> list[Probe]:
        """The probes of which everything is known."""
        return [probe for probe in self.probes if self._is_done(probe)]

    @property
    def is_enough(self) -> bool:
        """Whether there is something to report."""
        return len(self.done) >= LEAST_STEPS

    def report(self, about: dict[str, Any]) -> Report:
        """Ask the estimators, and compare.

        Raises:
            AgentGymError: too few steps are done.
        """
        probes, settings = self.done, self.settings
        if not self.is_enough or self._player is None:
            raise AgentGymError(
                f"{len(probes)} steps are done, and {LEAST_STEPS} are the least",
                hint="give it more --minutes, or fewer --continuations",
            )
        episodes = [each for group in self.pool.values() for each in group]
        estimators, left_out = compared(_terms(episodes))
        estimates = estimate(
            probes,
            self.pool,
            estimators,
            sizes=settings.sizes,
            seed=derive_seed(settings.seed, "mates"),
            on_draw=partial(self.on_progress, "estimates"),
        )
        truth, said = truth_of(probes, gamma=settings.gamma)
        played = {
            "success": _mean([each.outcome >= self.config.success for each in episodes]),
            "turns": _mean([len(each.steps) for each in episodes]),
            "episodes": self._player.played,
            "faults": self._player.faults,
            "settings": settings.model_dump(mode="json"),
        }
        return Report(
            about=about | played,
            truth=said,
            qualities=judged(estimates, truth, seed=derive_seed(settings.seed, "bootstrap")),
            left_out=left_out,
        )

    async def _continue(self, work: Sequence[Callable[[], Awaitable[None]]], until: float) -> None:
        """Play continuations, in their order and several at once."""
        waiting, done = iter(work), 0

        async def play_some() -> None:
            nonlocal done
            for play in waiting:
                if time.monotonic() > until:
                    return
                await play()
                done += 1
                self.on_progress("continuations", done, len(work))

        async with asyncio.TaskGroup() as players:
            for _ in range(self.settings.concurrency):
                players.create_task(play_some())

    def _work(self, player: Player) -> Iterator[Callable[[], Awaitable[None]]]:
        """Yield all that is to be played; values that probes share are played once."""
        settings = self.settings
        begun: set[int] = set()
        for number, probe in enumerate(self.probes):
            for draw in range(settings.draws):
                seed = derive_seed(settings.seed, "draw", number, draw)
                yield partial(_add_draw, player, probe, seed)
            for values in (probe.before, probe.after):
                if values is None or id(values) in begun or self.exact is not None:
                    continue
                begun.add(id(values))
                for place in range(settings.continuations):
                    seed = derive_seed(settings.seed, "value", len(begun), place)
                    yield partial(_add_return, player, values, seed, settings.gamma)

    def _is_done(self, probe: Probe) -> bool:
        if len(probe.draws) < self.settings.draws:
            return False
        values = [each for each in (probe.before, probe.after) if each is not None]
        wanted = self.settings.continuations
        return self.exact is not None or all(len(each.returns) >= wanted for each in values)


async def _add_draw(player: Player, probe: Probe, seed: int) -> None:
    if probe.after is None:
        probe.draws.append(probe.trajectory)
    elif found := await player.go_on(probe.trajectory, probe.step + 1, seed):
        probe.draws.append(found)


async def _add_return(player: Player, values: Values, seed: int, gamma: float) -> None:
    if found := await player.go_on(values.trajectory, values.step, seed):
        values.returns.append(return_from(found, values.step, gamma=gamma))


def _terms(episodes: Sequence[Trajectory]) -> tuple[str, ...]:
    """Return the reward terms that any step has."""
    steps = [step for each in episodes for step in each.steps]
    return tuple(sorted({name for step in steps for name in step.reward_terms}))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
