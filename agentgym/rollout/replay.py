"""Replay: the recorded messages once more, with the recorded seed and task, compared step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from agentgym.env import Env, EnvConfig
from agentgym.rollout.episode import DeadlineConfig, Job, run_episode
from agentgym.rollout.policy import ContextFull, Policy, Reply
from agentgym.types import OUTSIDE, Message, Step, Task, ToolSpec, Trajectory

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_OF_THE_MACHINE = ("DeadlineError", "Sandbox")
_NOT_OF_THE_POLICY = ("env", "max_turns")  # why an episode is truncated
_COMPARED = ("replies", "reward_terms", "state_key", "next_state_key", "action_key")


class Difference(NamedTuple):
    """One thing that came out otherwise."""

    step: int | None
    """None: the episode as a whole."""
    what: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found."""

    differences: tuple[Difference, ...] = ()
    unverifiable: str | None = None
    """Why nothing can be said: a fault or a time limit then, or one of the machine now."""


async def replay(
    trajectory: Trajectory,
    config: EnvConfig,
    sandboxes: "Sandboxes | None" = None,
    *,
    deadlines: DeadlineConfig | None = None,
) -> Replay:
    """Play the messages of a recorded episode again and compare what the environment made of them.

    Compared are the prompt, the tools, every observation, reward term and key, and the end; not the
    panels, which may be drawn better by a later version of an environment.

    Raises:
        ConfigError: the environment cannot be used as configured.
    """
    if reason := _unverifiable(trajectory):
        return Replay(unverifiable=reason)

    def recorded_policy(env: Env, task: Task, seed: int) -> Policy:
        return _RecordedPolicy(trajectory)

    again = await run_episode(
        _RecordedJob(
            task=trajectory.task,
            group_id=trajectory.group_id,
            member=trajectory.member,
            attempt=trajectory.attempt,
            recorded_seed=trajectory.seed,
        ),
        config=config,
        make_policy=recorded_policy,
        deadlines=deadlines,
        sandboxes=sandboxes,
    )
    if again.end != "error" and again.timed_out:
        return Replay(unverifiable="a time limit fired in the replay")
    if again.end == "error" and again.reason.startswith(_OF_THE_MACHINE):
        return Replay(unverifiable=f"the replay ended by a fault: {again.reason}")
    return Replay(tuple(_differences(trajectory, again)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedJob(Job):
    recorded_seed: int

    @property
    def seed(self) -> int:
        return self.recorded_seed


class _Over(ContextFull):
    """Raised where the record ends, for the reason that the policy had, if it was the policy."""

    def __init__(self, recorded: Trajectory) -> None:
        if recorded.end == "truncated" and recorded.reason not in _NOT_OF_THE_POLICY:
            self.reason = recorded.reason


class _RecordedPolicy(Policy):
    def __init__(self, recorded: Trajectory) -> None:
        self._recorded = recorded
        self._left = iter([step.message for step in recorded.steps])

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        for message in self._left:
            return Reply(message)
        raise _Over(self._recorded)


def _unverifiable(trajectory: Trajectory) -> str | None:
    if trajectory.end == "error":
        return f"the episode ended by a fault: {trajectory.reason}"
    if any(step.agent == OUTSIDE for step in trajectory.steps):
        return "a program from outside played it, and what that did is not in the record"
    return "a time limit fired in the episode" if trajectory.timed_out else None


def _differences(recorded: Trajectory, replayed: Trajectory) -> Iterator[Difference]:
    if recorded.prompt != replayed.prompt:
        yield Difference(None, "prompt", recorded.prompt, replayed.prompt)
    if recorded.tools != replayed.tools:
        yield Difference(None, "tools", recorded.tools, replayed.tools)
    for index, (before, after) in enumerate(zip_longest(recorded.steps, replayed.steps)):
        yield from _step_differences(index, before, after)
    ends = [(each.end, each.reason) for each in (recorded, replayed)]
    if ends[0] != ends[1]:
        yield Difference(None, "end", *ends)


def _step_differences(
    index: int, recorded: Step | None, replayed: Step | None
) -> Iterator[Difference]:
    if recorded is None or replayed is None:
        present = [step and step.message for step in (recorded, replayed)]
        yield Difference(index, "step", *present)
        return
    for name in _COMPARED:
        before, after = getattr(recorded, name), getattr(replayed, name)
        if before != after:
            yield Difference(index, name, before, after)
