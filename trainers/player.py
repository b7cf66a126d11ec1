"""The episodes of a step: groups of fresh tasks, whose ids name the step."""

from collections.abc import Callable
from functools import partial

from agentgym.rollout.collect import RolloutConfig, to_groups
from agentgym.rollout.policy import MakePolicy
from agentgym.trainers.episodes import Episodes, TaskStream
from agentgym.trainers.refill import Collected, Judge, refill
from agentgym.trainers.watch import Watch
from agentgym.types import Group


def group_ids(step: int) -> str:
    """Return what the ids of a step's groups begin with; a number follows."""
    return f"train-{step:06d}"


class Player:
    """Plays steps, any number of them at the same time; earlier ones go first."""

    def __init__(
        self,
        rollout: RolloutConfig,
        *,
        tasks: TaskStream,
        episodes: Episodes,
        make_policy: MakePolicy,
        policy_name: Callable[[], str],
        are_equal: Judge,
        on_draw: Callable[[dict[str, int]], None],
        watch: Watch,
    ) -> None:
        """`policy_name` tells who plays what begins now, `are_equal` which groups teach nothing.

        `on_draw` hears which task each group has, as `TaskStream.drawn`, before it is played.
        """
        self._rollout = rollout
        self._tasks = tasks
        self._episodes = episodes
        self._make_policy = make_policy
        self._policy_name = policy_name
        self._are_equal = are_equal
        self._on_draw = on_draw
        self._watch = watch

    async def play(self, step: int) -> Collected:
        """Roll the groups of a step out, replace those that teach nothing, where asked for."""
        roll_out, rollout = partial(self._roll_out, step), self._rollout
        if not rollout.refill_equal_groups:
            groups = await roll_out(0, rollout.groups)
            return Collected(groups, groups)
        return await refill(
            roll_out, self._are_equal, groups=rollout.groups, max_refills=rollout.max_refills
        )

    async def _roll_out(self, step: int, first: int, count: int) -> list[Group]:
        """Play `count` groups of fresh tasks, which count from `first`."""
        size, ids = self._rollout.group_size, group_ids(step)
        groups = [f"{ids}-{index:03d}" for index in range(first, first + count)]
        jobs = [job for each in groups for job in self._tasks.jobs(each, group_size=size)]
        drawn = self._tasks.drawn
        self._on_draw({each: drawn[each] for each in groups})
        if first:
            self._watch.expect(len(jobs), of=ids)
        trajectories = await self._episodes.collect(
            jobs, make_policy=self._make_policy, policy_name=self._policy_name(), order=step
        )
        return to_groups(trajectories)
