"""Episodes that go on from a snapshot, where an environment has snapshots.

What was said before is not played again; it is put before what follows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from agentgym.env import Env, EnvConfig, Reset
from agentgym.errors import EnvError, boundary
from agentgym.rollout.episode import call_env
from agentgym.types import Message, Step, Task, Trajectory

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


class Fork(NamedTuple):
    """A place in an episode, to go on from."""

    trajectory: Trajectory
    step: int
    """So many messages have been said."""
    blob: bytes

    @property
    def conversation(self) -> tuple[Message, ...]:
        """All that was said on either side."""
        messages = list(self.trajectory.prompt)
        for step in self.trajectory.steps[: self.step]:
            messages += [step.message, *step.replies]
        return tuple(messages)


class ForkedConfig(EnvConfig):
    """An environment whose episodes begin at a fork."""

    id: ClassVar[str] = "agentgym/Forked"

    whole: Any
    """Its configuration."""
    fork: Any
    """Where they begin."""

    @classmethod
    def of(cls, whole: EnvConfig, fork: Fork) -> "ForkedConfig":
        """Return the configuration with the turns that are left."""
        return cls(whole=whole, fork=fork, max_turns=whole.max_turns - fork.step)

    def build(self, sandboxes: "Sandboxes | None" = None) -> Env:
        """Make one environment whose `reset` restores the snapshot."""
        env: Env = self.whole.build(sandboxes)

        async def restore(task: Task, *, seed: int) -> Reset:
            vars(env).pop("reset")  # some restore by a reset of their own
            await env.restore(self.fork.blob)
            return Reset(self.fork.conversation, self.fork.trajectory.tools)

        env.reset = restore  # type: ignore[method-assign]
        return env


async def take_fork(
    trajectory: Trajectory, step: int, config: EnvConfig, sandboxes: "Sandboxes | None"
) -> Fork | None:
    """Play the messages up to a step and take a snapshot; None where there are no snapshots.

    Raises:
        EnvError: the environment failed.
    """
    with boundary(EnvError, f"a snapshot of {config.id}"):
        env = config.build(sandboxes)
        if type(env).snapshot is Env.snapshot:
            return None
        try:
            await call_env(env, env.reset, trajectory.task, seed=trajectory.seed)
            for number, played in enumerate(trajectory.steps[:step]):
                answer = await call_env(env, env.step, played.message)
                if tuple(answer.messages) != played.replies:
                    raise EnvError(f"step {number} went otherwise when it was played again")
            return Fork(trajectory, step, await env.snapshot())
        finally:
            closing = env.close()
            if closing is not None:
                await closing


def joined(fork: Fork, found: Trajectory) -> Trajectory:
    """Return an episode from a fork with what went before it."""
    before: Sequence[Step] = fork.trajectory.steps[: fork.step]
    after = list(found.steps)
    if after and before:  # it began with a whole conversation, and not with an observation
        after[0] = replace(after[0], state_key=before[-1].next_state_key)
    return replace(found, prompt=fork.trajectory.prompt, steps=[*before, *after])
