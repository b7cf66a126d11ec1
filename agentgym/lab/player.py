"""Episodes of one policy in one environment: from the start, or from the middle of another."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentgym.env import EnvConfig, first_tasks
from agentgym.errors import ConfigError, EnvError
from agentgym.lab.settings import LabSettings
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs, to_groups
from agentgym.rollout.continuing import go_on
from agentgym.rollout.forks import Fork, take_fork
from agentgym.rollout.policy import MakePolicy
from agentgym.types import Task, Trajectory, derive_seed

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_MAX_FAULTS = 0.1  # share of the episodes
_MIN_PLAYED = 100  # before faults are too many


@dataclass(slots=True, eq=False)
class Player:
    """Plays, and counts."""

    config: EnvConfig
    make_policy: MakePolicy
    sandboxes: "Sandboxes | None" = None
    played: int = field(default=0, init=False)
    """Episodes."""
    faults: int = field(default=0, init=False)
    """Of them, those that ended by a fault."""
    _has_snapshots: bool = field(default=True, init=False)
    _forks: "dict[tuple[str, int], asyncio.Future[Fork | None]]" = field(
        default_factory=dict, init=False
    )

    async def fill_pool(
        self, settings: LabSettings, on_progress: Callable[[str, int, int], None]
    ) -> dict[str, list[Trajectory]]:
        """Return episodes by group; groups that faults made too small are left out.

        Raises:
            ConfigError: there is no such split.
            AgentGymError: there is no task, or too many episodes end by a fault.
        """
        jobs = make_jobs(
            self._tasks(settings),
            group_size=settings.pool_size,
            run_seed=settings.seed,
            prefix="lab",
            env=type(self.config).id,
        )
        done = 0

        def count(trajectory: Trajectory) -> None:
            nonlocal done
            done += 1
            self._count(trajectory)
            on_progress("episodes", min(done, len(jobs)), len(jobs))

        episodes = await collect(
            jobs,
            config=self.config,
            make_policy=self.make_policy,
            rollout=RolloutConfig(concurrency=settings.concurrency, max_fault_rate=_MAX_FAULTS),
            sandboxes=self.sandboxes,
            on_episode=count,
        )
        groups = to_groups(each for each in episodes if each.end != "error" and each.steps)
        return {
            group.trajectories[0].group_id: group.trajectories
            for group in groups
            if len(group.trajectories) >= max(settings.sizes)
        }

    async def go_on(self, trajectory: Trajectory, step: int, seed: int) -> Trajectory | None:
        """Continue an episode after `step` messages; None where a fault ended it twice.

        Raises:
            EnvError: too many episodes end by a fault.
        """
        fork = await self._fork(trajectory, step)
        for attempt in range(2):
            found = await go_on(
                trajectory,
                step,
                config=self.config,
                make_policy=self.make_policy,
                seed=derive_seed(seed, attempt),
                fork=fork,
                sandboxes=self.sandboxes,
            )
            self._count(found)
            if found.end != "error":
                return found
            if self.played >= _MIN_PLAYED and self.faults > _MAX_FAULTS * self.played:
                raise EnvError(f"{self.faults} of {self.played} episodes failed: {found.reason}")
        return None

    async def _fork(self, trajectory: Trajectory, step: int) -> Fork | None:
        """Return a snapshot, taken when it is first asked for."""
        if not step or not self._has_snapshots:
            return None
        place = (trajectory.id, step)
        if place not in self._forks:
            taking = take_fork(trajectory, step, self.config, self.sandboxes)
            self._forks[place] = asyncio.ensure_future(taking)
        fork = await self._forks[place]
        self._has_snapshots = fork is not None
        return fork

    def _tasks(self, settings: LabSettings) -> list[Task]:
        splits = self.config.splits
        split = splits[0] if settings.split is None else settings.split
        if split not in splits:
            raise ConfigError(
                f"{self.config.id} has no split {split!r}", hint=f"known: {', '.join(splits)}"
            )
        tasks = first_tasks(self.config, split, number=settings.tasks)
        if not tasks:
            raise EnvError(f"the split {split!r} of {self.config.id} has no task")
        return tasks

    def _count(self, trajectory: Trajectory) -> None:
        self.played += 1
        self.faults += trajectory.end == "error"
