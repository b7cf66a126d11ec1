"""Many episodes at once: independent coroutines, one retry for faults, a limit on faults."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agentgym.engine import Engine, SamplingConfig
from agentgym.env import Env, EnvConfig
from agentgym.errors import AgentGymError, BudgetError
from agentgym.renderer import Renderer
from agentgym.rollout.budget import Budget, BudgetConfig
from agentgym.rollout.episode import CutOff, DeadlineConfig, Job, Play, run_episode
from agentgym.rollout.policy import MakePolicy, Policy, TokenPolicy
from agentgym.rollout.scheduler import MOST, Scheduler, Seat
from agentgym.store.address import address_of
from agentgym.types import Group, Task, Trajectory, with_env

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

logger = logging.getLogger(__name__)

_MIN_EPISODES_TO_JUDGE = 20  # a rate over fewer says nothing
_FAULTS_SHOWN = 3  # the others are in the record


class RolloutConfig(BaseModel, extra="forbid", frozen=True):
    """How episodes are collected."""

    groups: int = Field(default=16, ge=1)
    """Tasks per optimiser step."""
    group_size: int = Field(default=8, ge=1)
    """Episodes per task (G)."""
    sampling: SamplingConfig = SamplingConfig()
    deadlines: DeadlineConfig = DeadlineConfig()
    concurrency: int | None = Field(default=None, ge=1)
    """Most episodes under way at once. null: as many as keep the engine busy, and 128 where no
    engine says how many these are."""
    budget: BudgetConfig = BudgetConfig()
    """What may be spent."""
    max_fault_rate: float = Field(default=0.1, ge=0, le=1)
    """The run stops when more of its episodes than this ended by a fault."""
    refill_equal_groups: bool = False
    """Replace groups whose returns are all equal by groups of fresh tasks (dynamic sampling)."""
    max_refills: int = Field(default=3, ge=0)
    """Rounds of refilling per optimiser step; after the last one equal groups are kept."""
    deterministic: bool = False
    """One decode stream and a fixed training order: the same seed gives the same weights, bit for bit."""

    @property
    def most(self) -> int:
        """Most episodes at once, where there is no engine of ours."""
        return 1 if self.deterministic else self.concurrency or MOST

    def scheduler(
        self, *, slots: int | None = None, sandboxes: "Sandboxes | None" = None
    ) -> Scheduler:
        """Return a new scheduler for an engine with so many slots; None: of something else."""
        # One decode stream serves one episode at a time: others would wait for it in vain.
        most = 1 if self.deterministic else self.concurrency
        budget = Budget(self.budget)
        return Scheduler(slots=slots, most=most, sandboxes=sandboxes, budget=budget)


class FaultLimit:
    """Counts episodes and faults of a run, and stops it above a rate."""

    def __init__(self, max_rate: float, *, run: str | Path | None = None) -> None:
        """`run` is where episodes are recorded, so that a fault is told by its address."""
        self.episodes = 0
        self.faults = 0
        self._max_rate = max_rate
        self._run = run

    def count(self, trajectory: Trajectory) -> None:
        """Take note of an episode.

        Raises:
            AgentGymError: more episodes than allowed ended by a fault.
        """
        self.episodes += 1
        if trajectory.end == "error":
            self.faults += 1
            if self.faults <= _FAULTS_SHOWN:
                logger.warning(
                    "%s ended by a fault: %s", self._place(trajectory), trajectory.reason
                )
        if self.episodes < _MIN_EPISODES_TO_JUDGE or self.faults <= self._max_rate * self.episodes:
            return
        raise AgentGymError(
            f"{self.faults} of {self.episodes} episodes ended by a fault, "
            f"more than rollout.max_fault_rate = {self._max_rate:g}; the last, "
            f"{self._place(trajectory)}: {trajectory.reason}",
            hint="the episodes with end = error are in the run directory: agentgym show RUN",
        )

    def _place(self, trajectory: Trajectory) -> str:
        return address_of(self._run, trajectory.id) if self._run else trajectory.id


async def collect(
    jobs: Iterable[Job],
    *,
    config: EnvConfig,
    make_policy: MakePolicy,
    policy_name: str = "",
    rollout: RolloutConfig | None = None,
    sandboxes: "Sandboxes | None" = None,
    on_episode: Callable[[Trajectory], None] | None = None,
    faults: FaultLimit | None = None,
    play: Play | None = None,
    scheduler: Scheduler | None = None,
    order: int = 0,
) -> list[Trajectory]:
    """Run every job and return the trajectories in the order of the jobs.

    `scheduler` says when each begins, together with all others who share it; among these a lower
    `order` goes first. The jobs of a group stand one after another.

    A job that ended by a fault is retried once under another attempt number; if that fails too,
    its last trajectory, with `end="error"`, is returned. `on_episode` sees every finished
    episode, faulted ones included, as it finishes.

    Once the budget is spent no job is begun. Episodes under way end where they next ask for more,
    by an `end="error"` that is not retried; `on_episode` sees those that have steps.

    Raises:
        BudgetError: the policy may spend no more; every episode has ended.
        AgentGymError: too many faults; whatever `on_episode` raises passes as well.
    """
    rollout = rollout or RolloutConfig()
    faults = faults or FaultLimit(rollout.max_fault_rate)
    scheduler = scheduler or rollout.scheduler(sandboxes=sandboxes)
    done: dict[int, Trajectory] = {}
    cut: list[CutOff] = []

    async def attempt(job: Job, seat: Seat) -> Trajectory:
        trajectory = await run_episode(
            job,
            config=config,
            make_policy=make_policy,
            policy_name=policy_name,
            deadlines=rollout.deadlines,
            sandboxes=sandboxes,
            play=play,
            seat=seat,
        )
        if on_episode is not None:
            on_episode(trajectory)
        faults.count(trajectory)
        return trajectory

    async def complete(place: int, job: Job, seat: Seat) -> None:
        try:
            trajectory = await attempt(job, seat)
            if trajectory.end == "error" and not cut:
                trajectory = await attempt(job.again(), seat)
            done[place] = trajectory
        except CutOff as cut_off:
            cut.append(cut_off)
            if on_episode is not None and cut_off.trajectory.steps:
                on_episode(cut_off.trajectory)

    group_id: str | None = None
    async with _together(scheduler) as tasks:
        for place, job in enumerate(jobs):
            seat = await scheduler.seat(order=order, opens_group=job.group_id != group_id)
            if cut:
                seat.close()
                break
            group_id = job.group_id
            task = tasks.create_task(complete(place, job, seat))
            task.add_done_callback(seat.close_after)  # it may be cancelled before it begins
    if cut:
        raise _spent(cut)
    return [done[place] for place in sorted(done)]


@asynccontextmanager
async def _together(scheduler: Scheduler) -> AsyncIterator[asyncio.TaskGroup]:
    """Hold tasks of which the first failure stops the others, and is raised as itself."""
    try:
        with scheduler.standstill:
            async with asyncio.TaskGroup() as tasks:
                yield tasks
    except* AgentGymError as failures:
        raise failures.exceptions[0] from None


def _spent(cut: Sequence[CutOff]) -> BudgetError:
    """Return the error of a run whose budget is spent, with what came of the episodes under way."""
    last = cut[-1]  # it knows best how much was spent
    begun = sum(bool(each.trajectory.steps) for each in cut)
    of_them = f"; episodes cut off by that: {begun}, recorded as errors and in no score"
    return BudgetError(f"{last}{of_them if begun else ''}", hint=last.hint)


def make_jobs(
    tasks: Sequence[Task], *, group_size: int, run_seed: int, prefix: str, env: str
) -> list[Job]:
    """Return `group_size` jobs for each task; group ids are `prefix` and a number."""
    return [
        Job(
            task=with_env(task, env),
            group_id=f"{prefix}-{index:03d}",
            member=member,
            run_seed=run_seed,
        )
        for index, task in enumerate(tasks)
        for member in range(group_size)
    ]


def to_groups(trajectories: Iterable[Trajectory]) -> list[Group]:
    """Gather trajectories by group id, in the order of first appearance."""
    groups: dict[str, Group] = {}
    for trajectory in trajectories:
        group = groups.setdefault(trajectory.group_id, Group(trajectory.task, []))
        group.trajectories.append(trajectory)
    return list(groups.values())


def token_policies(engine: Engine, renderer: Renderer, sampling: SamplingConfig) -> MakePolicy:
    """Return the maker of policies that sample from an engine, each with a session of its own."""

    def make(env: Env, task: Task, seed: int) -> Policy:
        # Others ask the same engine, also from other processes: no two may mean the same stream.
        return TokenPolicy(engine, renderer, sampling, session=f"episode-{secrets.token_hex(8)}")

    return make
