"""Going on from the middle of an episode: from a snapshot, or its messages once more.

Every environment can be brought back to a step by its messages, since the same ones and the same
seed give the same episode; some have snapshots, which spare that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentgym.env import Env, EnvConfig
from agentgym.errors import EnvError
from agentgym.lab.forks import Fork, ForkedConfig, joined
from agentgym.rollout.episode import DeadlineConfig, Job, run_episode
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.types import Message, Task, ToolSpec, Trajectory

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


async def go_on(
    trajectory: Trajectory,
    step: int,
    *,
    config: EnvConfig,
    make_policy: MakePolicy,
    seed: int,
    fork: Fork | None = None,
    sandboxes: "Sandboxes | None" = None,
    deadlines: DeadlineConfig | None = None,
) -> Trajectory:
    """Return the episode whose first `step` messages are those of `trajectory`.

    Args:
        trajectory: what was played.
        step: where the policy takes over.
        config: the environment, as it was.
        make_policy: whose messages follow.
        seed: of the policy; that of the environment is the recorded one.
        fork: a snapshot of this place; the messages are said again where there is none.
        sandboxes: where the environment needs them.
        deadlines: as of an episode.

    Raises:
        EnvError: the messages did not lead to the same state again.
        ConfigError, MissingError: as of `run_episode`.
    """

    def continued(env: Env, task: Task, _: int) -> Policy:
        said = 0 if fork else step
        played = [each.message for each in trajectory.steps[:said]]
        return _Continued(played, make_policy(env, task, seed), seed)

    found = await run_episode(
        _SameJob(
            task=trajectory.task,
            group_id=trajectory.group_id,
            member=trajectory.member,
            same_seed=trajectory.seed,
        ),
        config=ForkedConfig.of(config, fork) if fork else config,
        make_policy=continued,
        deadlines=deadlines,
        sandboxes=sandboxes,
    )
    if fork:
        return joined(fork, found)
    if found.end != "error":
        _check_same(trajectory, found, step)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _SameJob(Job):
    same_seed: int

    @property
    def seed(self) -> int:
        return self.same_seed


class _Continued(Policy):
    """Says what was said, and then what another policy says."""

    def __init__(self, played: Sequence[Message], policy: Policy, seed: int) -> None:
        self._played, self._policy, self._seed = iter(played), policy, seed

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        for message in self._played:
            return Reply(message)
        return await self._policy.act(messages, tools, seed=self._seed)

    async def close(self) -> None:
        await self._policy.close()


def _check_same(recorded: Trajectory, found: Trajectory, step: int) -> None:
    """Refuse an environment that the same messages lead elsewhere."""
    for number, (before, after) in enumerate(
        zip(recorded.steps[:step], found.steps[:step], strict=False)
    ):
        if (before.state_key, before.reward_terms) != (after.state_key, after.reward_terms):
            raise EnvError(
                f"step {number} of {recorded.id} went otherwise when it was played again",
                hint=f"agentgym check {recorded.task.env} says what is not repeated",
            )
    if len(found.steps) < step:
        raise EnvError(f"{recorded.id} ended earlier when it was played again: {found.reason}")
