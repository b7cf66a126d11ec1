"""Several rewards for one episode: each is a named term, weighted and gated into the outcome."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, overload

from agentgym.errors import ConfigError, EnvError, boundary
from agentgym.tools import on_thread
from agentgym.types import OUTCOME, Message, Task, ToolCall

_MARK = "__agentgym_reward__"
_RESERVED = (OUTCOME, "tool_valid")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Transcript:
    """What a reward looks at: an episode that has just ended."""

    task: Task
    messages: list[Message] = field(default_factory=list)
    """The whole conversation, the system message and the task included."""

    @property
    def final_text(self) -> str:
        """The text of the last answer without tool calls; empty when there is none."""
        last = next((each for each in reversed(self.messages) if each.role == "assistant"), None)
        return last.content if last and not last.tool_calls else ""

    @property
    def calls(self) -> list[ToolCall]:
        """Every tool call, in order."""
        return [call for message in self.messages for call in message.tool_calls]

    @property
    def num_turns(self) -> int:
        """How often the policy spoke."""
        return sum(message.role == "assistant" for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    weight: float = 1.0
    gate: str | None = None
    gate_at: float = 1.0


@overload
def reward(function: F, /) -> F: ...


@overload
def reward(
    *, weight: float = ..., gate: str | None = ..., gate_at: float = ...
) -> Callable[[F], F]: ...


def reward(function: Any = None, /, **options: Any) -> Any:
    """Mark a method as a reward: it is asked when the episode ends, and returns a number.

    It takes as many of (transcript, task) as it has parameters. Its raw value is recorded under
    its own name; the term `outcome` is the sum of weight times value. No scale is hidden: choose
    weights so that the sum stays within `reward_range`.

    Args:
        function: The method, when the decorator is used without parentheses.
        **options: `weight` (default 1); 0 only records it. `gate`, the name of another reward:
            it counts only where that one is at least `gate_at` (default 1).
    """
    settings = _Options(**options)

    def mark(function: F) -> F:
        # The mark of a static method must be on the function: that is what an instance shows.
        setattr(getattr(function, "__func__", function), _MARK, settings)
        return function

    return mark if function is None else mark(function)


class Rewards:
    """The rewards of one environment."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self._rewards: dict[str, Callable[..., Any]] = {}
        for function in functions:
            self.add(function)

    @classmethod
    def of(cls, source: object) -> Self:
        """Collect the marked methods of an instance, and check their gates.

        Raises:
            ConfigError: a name is taken, or a gate does not exist.
        """
        names = {name: None for base in reversed(type(source).__mro__) for name in vars(base)}
        marked = (name for name in names if hasattr(getattr(type(source), name, None), _MARK))
        rewards = cls(getattr(source, name) for name in marked)
        rewards.check()
        return rewards

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._rewards)

    def add(self, function: Callable[..., Any]) -> None:
        """Take one more.

        Raises:
            ConfigError: its name is taken or reserved, or it takes more than two parameters.
        """
        name = function.__name__
        if name in _RESERVED:
            hint = "outcome is the weighted sum of all rewards; call this one by what it measures"
            raise _unusable(function, "the name is reserved", hint=hint)
        if name in self._rewards:
            raise _unusable(function, "there is a reward of this name", hint="rename one of them")
        if len(inspect.signature(function).parameters) > 2:
            hint = "write def reward(transcript, task) -> float"
            raise _unusable(function, "it has more than two parameters", hint=hint)
        self._rewards[name] = function

    def check(self) -> None:
        """Look whether every gate is a reward.

        Raises:
            ConfigError: one is not.
        """
        for name, function in self._rewards.items():
            gate = _options(function).gate
            if gate is not None and (gate not in self._rewards or gate == name):
                others = ", ".join(each for each in self._rewards if each != name) or "none"
                what = f"its gate {gate!r} is no other reward"
                raise _unusable(function, what, hint=f"rewards: {others}")

    async def grade(self, transcript: Transcript) -> dict[str, float]:
        """Return every term, and `outcome`.

        Raises:
            EnvError: a reward raised, or returned something else than a finite number.
        """
        terms = {
            name: await _value_of(function, transcript) for name, function in self._rewards.items()
        }
        outcome = sum(
            options.weight * terms[name]
            for name, options in ((each, _options(f)) for each, f in self._rewards.items())
            if options.gate is None or terms[options.gate] >= options.gate_at
        )
        return {**terms, OUTCOME: float(outcome)}


async def _value_of(function: Callable[..., Any], transcript: Transcript) -> float:
    arguments = (transcript, transcript.task)[: len(inspect.signature(function).parameters)]
    with boundary(EnvError, f"the reward `{function.__name__}`"):
        if inspect.iscoroutinefunction(function):
            value = await function(*arguments)
        else:
            value = await on_thread(lambda: function(*arguments))
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise EnvError(
            f"{_place(function)}reward `{function.__name__}` returned {value!r:.80}, "
            "expected a finite number",
            hint="return a float on every path",
        )
    return float(value)


def _options(function: Callable[..., Any]) -> _Options:
    return getattr(function, _MARK, _Options())


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _unusable(function: Callable[..., Any], what: str, *, hint: str) -> ConfigError:
    return ConfigError(f"{_place(function)}reward `{function.__name__}`: {what}", hint=hint)
