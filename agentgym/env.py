"""The contract of an environment.

An environment sees messages only; tokens, limits and records are the framework's business.
What the model did wrong (a bad tool call, nonsense) is answered by a message; whatever an
environment *raises* is a fault of the machinery and ends the episode with `end="error"`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from agentgym.errors import EnvError, boundary
from agentgym.panels import Panel
from agentgym.types import Message, Task, ToolSpec, canonical_json

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agentgym.sandbox import Sandboxes

Script = Callable[[Sequence[Message]], Message]
"""A scripted agent of one episode: the conversation so far -> the next message."""


class Reset(NamedTuple):
    """The start of an episode."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    info: Mapping[str, Any] = {}
    """Anything worth keeping beside the messages; the framework reads nothing from it."""


class EnvStep(NamedTuple):
    """What an environment answers, in Gymnasium's order."""

    messages: tuple[Message, ...]
    reward: dict[str, float]
    """Named terms; `outcome` is the task's own verdict."""
    terminated: bool = False
    """The task's own end."""
    truncated: bool = False
    """A limit of the environment's own. The framework adds max_turns and deadlines itself."""
    info: Mapping[str, Any] = {}
    """`timed_out=True` says that a time limit fired inside, so that replay may differ."""


class Env(ABC):
    """One episode at a time: `reset`, then `step` until it terminates, then `close`.

    `reset` and `step` may be plain or async functions. Plain ones run on a thread, unless
    `inline` says that they are cheap enough for the event loop.
    """

    inline: ClassVar[bool] = False

    @abstractmethod
    def reset(self, task: Task, *, seed: int) -> "Reset | Awaitable[Reset]":
        """Start the episode of `task`. All randomness must come from `seed`."""

    @abstractmethod
    def step(self, message: Message) -> "EnvStep | Awaitable[EnvStep]":
        """Answer one message of the policy."""

    def truncate(self) -> "dict[str, float] | Awaitable[dict[str, float]]":
        """Return last reward terms where max_turns or the context ended the episode.

        They are added to those of the last step.
        """
        return {}

    def close(self) -> "Awaitable[None] | None":
        """Free what the episode holds. Called exactly once per episode, also after a fault."""
        return None

    def state_key(self) -> str | None:
        """Identify the present state: equal keys, equal states. None: the last observation."""
        return None

    def action_key(self, message: Message) -> str:
        """Identify an action: canonical JSON of the tool calls, else the normalised text."""
        return action_key(message)

    def actions(self) -> Sequence[str]:
        """Return the texts that are admissible now, where they are few; the random policy draws."""
        return ()

    def panels(self) -> Sequence[Panel]:
        """Draw the present state for people, as data; cheap, and called after reset and each step.

        Panels are recorded and shown beside the messages. Nothing else looks at them, and a replay
        may draw otherwise.
        """
        return ()

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the scripted agent of a given skill; it may look at this environment's state.

        Raises:
            NotImplementedError: this environment has no such script.
        """
        raise NotImplementedError(f"{type(self).__name__} has no script {level!r}")

    async def snapshot(self) -> bytes:
        """Return everything that `restore` needs to continue from here.

        Raises:
            NotImplementedError: this environment cannot be forked.
        """
        raise NotImplementedError(f"{type(self).__name__} has no snapshot")

    async def restore(self, blob: bytes) -> None:
        """Continue from a snapshot.

        Raises:
            NotImplementedError: this environment cannot be forked.
        """
        raise NotImplementedError(f"{type(self).__name__} has no restore")


class EnvConfig(BaseModel):
    """What a user sets of an environment; `build()` makes one instance for one episode.

    A subclass names its environment (`id`), generates its tasks and builds it. Fields of the
    subclass become keys under `[env]` of a run's configuration.
    """

    # Not as class arguments: type checkers would then ask every subclass to repeat `frozen`.
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    tiers: ClassVar[tuple[str, ...]] = ()
    """The values of a field `tier`, easiest first."""
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """Bounds of an episode's outcome."""
    success: ClassVar[float] = 1.0
    """An episode succeeded when its outcome reaches this."""
    noop_score: ClassVar[float] = 0.02
    """What silence may score in the mean; more is a reward for nothing."""
    needs_sandbox: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules of other projects that it imports when it is used, for `agentgym envs` to look for."""
    uses_seed: ClassVar[bool] = False
    """Whether the seed of an episode changes what happens; False: the task decides everything."""

    max_turns: int = 16
    """Steps after which an episode is truncated."""

    @field_validator("max_turns")  # holds for a subclass with a default of its own, too
    @classmethod
    def _check_max_turns(cls, value: int) -> int:
        if value < 1:
            raise ValueError("should be at least 1")
        return value

    @property
    def held_out_split(self) -> str:
        """`test`, or the first split where there is none."""
        return "test" if "test" in self.splits else self.splits[0]

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield the tasks of a split, always in the same order; `train` may be endless.

        `Task.split` and `Task.env` are filled in by `tasks_of`.
        """
        raise NotImplementedError

    def build(self, sandboxes: "Sandboxes | None" = None) -> Env:
        """Make one environment; `sandboxes` is given when `needs_sandbox`."""
        raise NotImplementedError


def tasks_of(config: EnvConfig, split: str) -> Iterator[Task]:
    """Yield the tasks of a split, each with its split and environment filled in.

    Raises:
        EnvError: the code that makes them raised, or yielded something else.
    """
    with boundary(EnvError, f"making the tasks of {config.id}"):
        for task in config.tasks(split):
            if not isinstance(task, Task):
                raise EnvError(
                    f"the tasks of {config.id} hold {task!r:.80}, expected Task",
                    hint='yield ag.Task("the prompt", answer=...)',
                )
            yield replace(task, env=config.id, split=split)


def first_tasks(config: EnvConfig, split: str, *, number: int) -> list[Task]:
    """Return the first tasks of a split.

    Raises:
        EnvError: as `tasks_of`.
    """
    return list(islice(tasks_of(config, split), number))


def add_terms(terms: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of reward terms, by name.

    >>> add_terms({"outcome": 0.25, "score": 1.0}, {"outcome": 0.5})
    {'outcome': 0.75, 'score': 1.0}
    """
    return {**terms, **{name: terms.get(name, 0.0) + value for name, value in more.items()}}


def action_key(message: Message) -> str:
    """Return canonical JSON of the tool calls, else the text with its whitespace normalised.

    >>> from agentgym.types import ToolCall
    >>> action_key(Message("assistant", tool_calls=(ToolCall("run", '{"b": 1,  "a": 2}'),)))
    '[["run",{"a":2,"b":1}]]'
    >>> action_key(Message("assistant", "  go   left "))
    'go left'
    """
    if not message.tool_calls:
        return " ".join(message.content.split())
    try:
        return canonical_json(
            [[call.name, _json_or_text(call.arguments)] for call in message.tool_calls]
        )
    except RecursionError:  # arguments that can be read by themselves may be too deep in others
        return canonical_json([[call.name, call.arguments] for call in message.tool_calls])


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
