"""Places in episodes to go on from, by a snapshot where an environment has snapshots."""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from agentgym.env import Env, EnvConfig, Reset
from agentgym.errors import EnvError, boundary
from agentgym.rollout.answers import state_key_of
from agentgym.rollout.episode import call_env
from agentgym.types import Message, Task, Trajectory

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
        EnvError: the environment failed, or went otherwise.
    """
    with boundary(EnvError, f"a snapshot of {config.id}"):
        env = config.build(sandboxes)
        if type(env).snapshot is Env.snapshot:
            return None
        try:
            await _play_again(env, trajectory, step)
            return Fork(trajectory, step, await env.snapshot())
        finally:
            closing = env.close()
            if closing is not None:
                await closing


async def _play_again(env: Env, trajectory: Trajectory, step: int) -> None:
    """Bring an environment to a step by the recorded messages.

    Raises:
        EnvError: it went otherwise.
    """
    reset = await call_env(env, env.reset, trajectory.task, seed=trajectory.seed)
    if tuple(reset.messages) != trajectory.prompt:
        told = trajectory.prompt, tuple(reset.messages)
        raise went_otherwise(trajectory, None, "observation", *told)
    for number, played in enumerate(trajectory.steps[:step]):
        answer = await call_env(env, env.step, played.message)
        key = state_key_of(env, answer.messages) if answer.messages else None
        compared: dict[str, tuple[Any, Any]] = {
            "observation": (played.replies, tuple(answer.messages)),
            "state": (played.next_state_key or key, key),
            "reward": (played.reward_terms, dict(answer.reward)),
            "end": (False, answer.terminated or answer.truncated),
        }
        if number == len(trajectory.steps) - 1:
            del compared["reward"]  # the end of the episode may have added to it
        for what, (recorded, now) in compared.items():
            if recorded != now:
                raise went_otherwise(trajectory, number, what, recorded, now)


def last_turn(end: str, reason: str, turns: int) -> int:
    """Return the last turn that an episode can be forked at, from 0; -1: it has none.

    Who left it, or had no room for more, may go on behind its end.

    >>> last_turn("terminated", "env", 3), last_turn("truncated", "quit", 3)
    (2, 3)
    """
    is_open = turns > 0 and end == "truncated" and reason not in ("env", "max_turns")
    return turns if is_open else turns - 1


def went_otherwise(
    trajectory: Trajectory, number: int | None, what: str, recorded: Any, played: Any
) -> EnvError:
    """Return the error of an environment that the same messages lead elsewhere.

    `number` is the step, from 0; None is the reset.
    """
    where = "the reset" if number is None else f"turn {number}"
    hint = f"agentgym check {trajectory.task.env} says what is not repeated"
    if number is not None and trajectory.steps[number].timed_out:
        hint = "a time limit fired in this turn, so that it need not go the same way: fork before"
    return EnvError(
        f"{where} of {trajectory.id} went otherwise when it was played again: "
        f"the {what} was {_told(recorded)}, and is {_told(played)}",
        hint=hint,
    )


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        value = "\n".join(message.content for message in value)
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
