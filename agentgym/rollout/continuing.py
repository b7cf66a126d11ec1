"""Going on from the middle of an episode: from a snapshot, or its messages once more.

Every environment can be brought back to a turn by its messages, since the same ones and the same
seed give the same episode; some have snapshots, which spare that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from agentgym.env import Env, EnvConfig
from agentgym.errors import EnvError
from agentgym.rollout.answers import state_key_of
from agentgym.rollout.episode import CutOff, DeadlineConfig, Job, run_episode
from agentgym.rollout.forks import Fork, ForkedConfig, went_otherwise
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.rollout.recall import cut
from agentgym.types import Message, Segment, Step, Task, ToolSpec, Trajectory

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where an episode that goes on is counted."""

    group_id: str
    member: int = 0
    attempt: int = 0


async def go_on(
    trajectory: Trajectory,
    step: int,
    *,
    config: EnvConfig,
    make_policy: MakePolicy,
    seed: int,
    fork: Fork | None = None,
    slot: Slot | None = None,
    policy_name: str = "",
    sandboxes: "Sandboxes | None" = None,
    deadlines: DeadlineConfig | None = None,
) -> Trajectory:
    """Return the episode whose first `step` steps are those of `trajectory`, tokens included.

    Args:
        trajectory: what was played; the parent of what is returned.
        step: where the policy takes over, from 0.
        config: the environment, as it was.
        make_policy: whose messages follow.
        seed: of the policy; that of the environment is the recorded one.
        fork: a snapshot of this place; the messages are said again where there is none.
        slot: group, member and attempt; None: those of `trajectory`.
        policy_name: what the record calls the policy.
        sandboxes: where the environment needs them.
        deadlines: as of an episode.

    Raises:
        EnvError: the messages did not lead to the same state again.
        ConfigError, MissingError: as of `run_episode`.
        CutOff: as of `run_episode`; its trajectory is as one that is returned.
    """
    policies: list[_Continued] = []

    def continued(env: Env, task: Task, _: int) -> Policy:
        policies.append(_Continued(env, trajectory, step, said, make_policy, seed))
        return policies[0]

    slot = slot or Slot(
        group_id=trajectory.group_id, member=trajectory.member, attempt=trajectory.attempt
    )
    said = 0 if fork else step
    try:
        found = await run_episode(
            _SameJob.of(trajectory, slot),
            config=ForkedConfig.of(config, fork) if fork else config,
            make_policy=continued,
            policy_name=policy_name,
            deadlines=deadlines,
            sandboxes=sandboxes,
        )
    except CutOff as spent:
        raise CutOff(spent, _child(trajectory, step, spent.trajectory, said=said)) from spent
    for policy in policies:
        if policy.differs is not None:
            raise policy.differs
    if not fork:
        _check_rewards(trajectory, found, step)
    return _child(trajectory, step, found, said=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SameJob(Job):
    same_seed: int

    @classmethod
    def of(cls, trajectory: Trajectory, slot: Slot) -> Self:
        return cls(
            task=trajectory.task,
            group_id=slot.group_id,
            member=slot.member,
            attempt=slot.attempt,
            same_seed=trajectory.seed,
        )

    @property
    def seed(self) -> int:
        return self.same_seed


class _Continued(Policy):
    """Says what was said, and then what another policy says, which is made when its turn comes."""

    def __init__(
        self,
        env: Env,
        parent: Trajectory,
        step: int,
        said: int,
        make_policy: MakePolicy,
        seed: int,
    ) -> None:
        """`said` of the messages are to be said again: all up to `step`, or none."""
        self._env, self._parent, self._step, self._said = env, parent, step, said
        self._make_policy, self._seed = make_policy, seed
        self._at = self._heard = 0
        self.differs: EnvError | None = None
        """Why what was said again did not lead to the same place."""

    @property
    def keeps_time(self) -> bool:
        return self._at >= self._said and self._policy.keeps_time

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        if self._said and self._at <= self._said:
            self._compare(messages)
        self._at += 1
        if self._at <= self._said:
            return Reply(self._parent.steps[self._at - 1].message)
        return await self._policy.act(messages, tools, seed=self._seed)

    @property
    def segments(self) -> list[Segment]:
        if "_policy" not in vars(self):
            return []
        return self._policy.segments or cut(self._parent.segments, self._step)

    @property
    def drift(self) -> int:
        return self._policy.drift if "_policy" in vars(self) else 0

    async def close(self) -> None:
        if "_policy" in vars(self):
            await self._policy.close()

    @cached_property
    def _policy(self) -> Policy:
        policy = self._make_policy(self._env, self._parent.task, self._seed)
        policy.take_over(self._parent, self._step)
        return policy

    def _compare(self, messages: Sequence[Message]) -> None:
        """Refuse, before more is said, an environment that answers otherwise."""
        before = self._parent.steps[self._at - 1] if self._at else None
        recorded = before.replies if before else self._parent.prompt
        got = tuple(messages[self._heard :])
        self._heard = len(messages) + 1
        number = self._at - 1 if before else None
        if got != recorded:
            self.differs = went_otherwise(self._parent, number, "observation", recorded, got)
        elif before and before.next_state_key is not None:
            key = state_key_of(self._env, got)
            if key != before.next_state_key:
                told = before.next_state_key, key
                self.differs = went_otherwise(self._parent, number, "state", *told)
        if self.differs is not None:
            raise self.differs


def _check_rewards(parent: Trajectory, found: Trajectory, step: int) -> None:
    """Refuse an environment that pays otherwise, or that ended.

    What the end of the parent added to its last step is not paid here.
    """
    until = min(step, len(parent.steps) - 1)
    for number, (before, after) in enumerate(zip(parent.steps[:until], found.steps, strict=False)):
        if before.reward_terms != after.reward_terms:
            terms = before.reward_terms, after.reward_terms
            raise went_otherwise(parent, number, "reward", *terms)
    if len(found.steps) < step and found.end != "error":
        raise EnvError(f"{parent.id} ended earlier when it was played again: {found.reason}")


def _child(parent: Trajectory, step: int, found: Trajectory, *, said: int) -> Trajectory:
    """Return what was played behind the steps of the parent, whose tokens it shares.

    An episode that a fault ended before the policy took over has the steps that were said again.
    """
    if said > len(found.steps):
        steps = found.steps
    else:
        owners = {owner for segment in found.segments for owner, *_ in segment.steps}
        before = [
            each if number in owners else replace(each, completion=None)
            for number, each in enumerate(parent.steps[:step])
        ]
        steps = [*before, *_linked(before, found.steps[said:], said=said)]
    return replace(
        found,
        prompt=parent.prompt,
        panels=parent.panels,
        steps=steps,
        parent_id=parent.id,
        fork_step=step,
    )


def _linked(before: Sequence[Step], after: Sequence[Step], *, said: int) -> list[Step]:
    """Let what began with a whole conversation, and not with an observation, say its state."""
    if said or not before or not after:
        return list(after)
    return [replace(after[0], state_key=before[-1].next_state_key), *after[1:]]
