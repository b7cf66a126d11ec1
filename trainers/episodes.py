"""Tasks and episodes of a run: in what order, and rolled out or found in the record."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from agentgym.env import EnvConfig, tasks_of
from agentgym.errors import ConfigError, StoreError
from agentgym.rollout.collect import FaultLimit, RolloutConfig, collect
from agentgym.rollout.episode import Job, Play
from agentgym.rollout.policy import MakePolicy
from agentgym.rollout.scheduler import Scheduler
from agentgym.sandbox import Sandboxes
from agentgym.store.address import address_of
from agentgym.store.episodes import EpisodeHead, EpisodeWriter, read_episode, read_heads
from agentgym.types import Task, Trajectory, derive_seed

logger = logging.getLogger(__name__)

Slot = tuple[str, int]
"""(group id, member): the place of one episode in the history of a run."""


class Draw(NamedTuple):
    """A task that was taken for a group."""

    number: int
    """How many tasks were taken before it."""
    task: Task
    times: int
    """How often this task was taken before."""


def usable(trajectory: Trajectory) -> bool:
    """Return whether a trajectory has a place in the table."""
    return trajectory.end != "error" and bool(trajectory.steps)


class Recorded:
    """What a run's store holds: by slot and task the episode that was completed; the attempts."""

    def __init__(self, heads: Iterable[EpisodeHead] = ()) -> None:
        self._complete: dict[tuple[Slot, str], EpisodeHead] = {}
        self._attempts: dict[Slot, int] = {}
        for head in heads:
            slot = (head.group_id, head.member)
            self._attempts[slot] = max(self._attempts.get(slot, 0), head.attempt + 1)
            if head.end != "error":
                self._complete.setdefault((slot, head.task_id), head)

    def find(self, job: Job) -> Trajectory | None:
        """Return the completed episode of a job's slot and task, unless it is broken."""
        head = self._complete.get(((job.group_id, job.member), job.task.id))
        if head is None:
            return None
        try:
            return read_episode(head)
        except StoreError as error:
            place = address_of(head.frame.shard.parents[1], head.id)
            logger.warning("%s is played again: %s", place, error)
            return None

    def attempts(self, job: Job) -> int:
        """Return how often this slot was tried."""
        return self._attempts.get((job.group_id, job.member), 0)


class Episodes:
    """Where the trainer gets its episodes from.

    An episode that a killed process completed is taken from the record, so that every completed
    episode is used exactly once; what is missing is rolled out and recorded.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        env: EnvConfig,
        rollout: RolloutConfig,
        sandboxes: Sandboxes | None = None,
        on_episode: Callable[[Trajectory], None] | None = None,
        play: Play | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        """`scheduler`: see `agentgym.rollout.collect`; it is set once the engine is known."""
        self.scheduler = scheduler
        self._recorded = Recorded(read_heads(run_dir))
        self._writer = EpisodeWriter(run_dir)
        self._env = env
        self._rollout = rollout
        self._sandboxes = sandboxes
        self._on_episode = on_episode
        self._play = play
        self._faults = FaultLimit(rollout.max_fault_rate, run=run_dir)

    def scalars(self) -> dict[str, float]:
        """Return the faults of this process, and how the engine was used since the last call."""
        used = self.scheduler.scalars() if self.scheduler else {}
        return {"faults": float(self._faults.faults), **used}

    async def collect(
        self,
        jobs: Iterable[Job],
        *,
        make_policy: MakePolicy,
        policy_name: str,
        order: int = 0,
    ) -> list[Trajectory]:
        """Return the trajectory of each job, in the order of the jobs; a lower `order` goes first.

        Raises:
            AgentGymError: too many faults, or the record cannot be written.
        """
        jobs = list(jobs)
        known = {place: found for place, job in enumerate(jobs) if (found := self._find(job))}
        missing = [place for place in range(len(jobs)) if place not in known]
        fresh = await collect(
            [self._next_attempt(jobs[place]) for place in missing],
            config=self._env,
            make_policy=make_policy,
            policy_name=policy_name,
            rollout=self._rollout,
            sandboxes=self._sandboxes,
            on_episode=self._record,
            faults=self._faults,
            play=self._play,
            scheduler=self.scheduler,
            order=order,
        )
        known |= dict(zip(missing, fresh, strict=True))
        return [known[place] for place in range(len(jobs))]

    def sync(self) -> None:
        """Bring what was recorded to the disk."""
        self._writer.sync()

    def close(self) -> None:
        """Close the record. Idempotent."""
        self._writer.close()

    def _find(self, job: Job) -> Trajectory | None:
        return self._recorded.find(job)

    def _next_attempt(self, job: Job) -> Job:
        return replace(job, attempt=self._recorded.attempts(job))

    def _record(self, trajectory: Trajectory) -> None:
        self._writer.append(trajectory)
        if self._on_episode is not None:
            self._on_episode(trajectory)


class TaskStream:
    """The training tasks in their order, without end; its state is how many were taken.

    Steps that are played ahead take theirs before the steps before them are done. `drawn` tells
    which task each group has that is not done, so that it has the same after a resume.
    """

    def __init__(self, env: EnvConfig, *, seed: int) -> None:
        self.position = 0
        self._env = env
        self._seed = seed
        self._tasks = self._endless()
        self._taken: Counter[str] = Counter()
        self._drawn: dict[str, int] = {}
        self._kept: dict[str, Draw] = {}

    @property
    def drawn(self) -> dict[str, int]:
        """By the ids of groups that are not done: how many tasks were taken before theirs."""
        return {group_id: draw.number for group_id, draw in self._kept.items()} | self._drawn

    def skip(self, position: int, *, drawn: Mapping[str, int] | None = None) -> None:
        """Go on after the first `position` tasks and all in `drawn`, kept for their groups."""
        owners = {number: group_id for group_id, number in (drawn or {}).items()}
        position = max(position, max(owners, default=-1) + 1)
        while self.position < position:
            draw = self._next()
            if draw.number in owners:
                self._kept[owners[draw.number]] = draw

    def done(self, prefix: str) -> None:
        """Forget the groups whose ids begin so: nobody will ask for their tasks again."""
        for groups in (self._drawn, self._kept):
            for group_id in [each for each in groups if each.startswith(prefix)]:
                del groups[group_id]

    def jobs(self, group_id: str, *, group_size: int) -> list[Job]:
        """Return the episodes of the next task. A task that comes again has other seeds."""
        draw = self._kept.pop(group_id, None) or self._next()
        self._drawn[group_id] = draw.number
        run_seed = derive_seed(self._seed, draw.times) if draw.times else self._seed
        return [
            Job(task=draw.task, group_id=group_id, member=member, run_seed=run_seed)
            for member in range(group_size)
        ]

    def _next(self) -> Draw:
        task = next(self._tasks)
        draw = Draw(self.position, task, self._taken[task.id])
        self.position += 1
        self._taken[task.id] += 1
        return draw

    def _endless(self) -> Iterator[Task]:
        while True:
            empty = True
            for task in tasks_of(self._env, "train"):
                empty = False
                yield task
            if empty:
                raise ConfigError(
                    f"{type(self._env).id} has no training tasks with these settings",
                    hint="yield at least one task from tasks(split) for the split 'train'",
                )
