"""Policies without a model: the environment's own scripts, silence, and chance.

Their steps carry no tokens and are never trained on, except that a warm start may imitate them.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentgym.env import Env, Script
from agentgym.errors import AgentGymError, ConfigError, EnvError, attributed
from agentgym.loading import did_you_mean
from agentgym.rollout.nonsense import nonsense
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.types import Message, Task, ToolCall, ToolSpec

_TEXT_RATE = 0.2
_MAX_DEPTH = 12  # of a schema: lists within lists grow with every level
_MOST = 1e308  # of a bound that is kept
_ROOM = 100  # between a bound of a number and the one it lacks
_EVERYWHERE = ("random", "noop", "fuzz")
_WORDS = ("0", "1", "2", "10", "x", "yes", "no", "the", "end")


class ScriptedPolicy(Policy):
    """Plays a script of the environment."""

    def __init__(self, script: Script, *, level: str) -> None:
        self._script = script
        self._name = f"the script {level!r}"

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Ask the script for the next message."""
        try:  # as `boundary` does, without two calls at every step
            return Reply(self._script(messages))
        except AgentGymError:
            raise
        except (Exception, SystemExit) as error:
            raise attributed(error, EnvError, self._name) from error


class NoopPolicy(Policy):
    """Says nothing: what an environment pays for this is paid for nothing."""

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Return an empty message."""
        return Reply(Message("assistant"))


class RandomPolicy(Policy):
    """Draws an admissible text, or a tool and arguments that fit its schema."""

    def __init__(self, env: Env, seed: int) -> None:
        self._env = env
        self._random = random.Random(seed)

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Draw uniformly."""
        actions = self._env.actions()
        if actions:
            return Reply(Message("assistant", self._random.choice(actions)))
        if not tools:
            return Reply(Message("assistant", self._random.choice(_WORDS)))
        tool = self._random.choice(tools)
        arguments = json.dumps(random_value(tool.parameters, self._random))
        return Reply(Message("assistant", tool_calls=(ToolCall(tool.name, arguments, "call_0"),)))


class FuzzPolicy(Policy):
    """Says nonsense half of the time, and else acts at random, so that it gets somewhere."""

    def __init__(self, env: Env, seed: int) -> None:
        self._sane = RandomPolicy(env, seed)
        self._random = random.Random(seed)
        self._nonsense: list[Message] = []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Draw; a text without tool calls would often end the episode, so it is drawn seldom."""
        if not self._nonsense:
            self._nonsense = [
                message
                for _, message in nonsense(tools)
                if message.tool_calls or not tools or self._random.random() < _TEXT_RATE
            ]
        if self._nonsense and self._random.random() < 0.5:
            return Reply(self._random.choice(self._nonsense))
        return await self._sane.act(messages, tools, seed=seed)


def random_value(schema: Any, chance: random.Random, *, depth: int = 0) -> Any:
    """Draw a value that fits a JSON Schema as tools have them.

    It is a word where the schema says nothing, what nothing fits, or what is not understood here:
    schemas come from servers, too.
    """
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return chance.choice(_WORDS)
    if values := _choices(schema, "enum"):
        return chance.choice(values)
    if parts := _choices(schema, "anyOf") or _choices(schema, "oneOf"):
        return random_value(chance.choice(parts), chance, depth=depth + 1)
    if kinds := _choices(schema, "type"):
        schema = {**schema, "type": chance.choice(kinds)}
    return _of_type(schema, chance, depth + 1)


def _choices(schema: Mapping[str, Any], key: str) -> list[Any]:
    values = schema.get(key)
    return values if isinstance(values, list) else []


def _of_type(schema: Mapping[str, Any], chance: random.Random, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            properties = schema.get("properties")
            parts = properties if isinstance(properties, Mapping) else {}
            return {name: random_value(part, chance, depth=depth) for name, part in parts.items()}
        case "array":
            items = schema.get("items", {})
            return [random_value(items, chance, depth=depth) for _ in range(chance.randint(0, 3))]
        case "integer":
            low, high = _bounds(schema)
            least, most = math.ceil(low), math.floor(high)
            return chance.randint(least, most) if least <= most else chance.choice(_WORDS)
        case "number":
            low, high = _bounds(schema)
            return _between(low, high, chance) if low <= high else chance.choice(_WORDS)
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
        case _:
            return chance.choice(_WORDS)


def _between(low: float, high: float, chance: random.Random) -> float:
    """Draw uniformly; the distance of the two may be more than a float holds."""
    share = chance.random()
    return min(max(low * (1 - share) + high * share, low), high)


def _bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    """Return what a number lies between; a bound that is not given is chosen to leave room."""
    lows = [*_bound(schema, "minimum"), *_bound(schema, "exclusiveMinimum", towards=math.inf)]
    highs = [*_bound(schema, "maximum"), *_bound(schema, "exclusiveMaximum", towards=-math.inf)]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is None:
        low = -9 if high is None or high >= -9 else high - _ROOM
    if high is None:
        high = 99 if low <= 99 else low + _ROOM
    return low, high


def _bound(schema: Mapping[str, Any], key: str, *, towards: float | None = None) -> Iterator[float]:
    """Yield a bound if it is a number that is of use, moved where the number itself is outside."""
    value = schema.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST:
        yield value if towards is None else math.nextafter(value, towards)


def scripted_policies(name: str) -> MakePolicy:
    """Return the maker for `scripted`, `scripted:noop`, `:random`, `:fuzz` or `scripted:LEVEL`.

    Raises:
        ConfigError: the name is no scripted policy; later, the environment has no such script.
    """
    kind, _, level = name.partition(":")
    if kind != "scripted":
        raise ConfigError(
            f"unknown scripted policy {name!r}",
            hint="use scripted, scripted:noop, scripted:random, scripted:fuzz or scripted:LEVEL",
        )

    def make(env: Env, task: Task, seed: int) -> Policy:
        if level == "noop":
            return NoopPolicy()
        if level == "random":
            return RandomPolicy(env, seed)
        if level == "fuzz":
            return FuzzPolicy(env, seed)
        skill = level or "expert"
        return ScriptedPolicy(_script(env, task, seed, skill), level=skill)

    return make


def _script(env: Env, task: Task, seed: int, level: str) -> Script:
    try:
        return env.expert(task, seed=seed, level=level)
    except NotImplementedError as error:
        close = did_you_mean(level, _EVERYWHERE)
        hint = f"did you mean scripted:{close}? " if close else ""
        everywhere = ", ".join(f"scripted:{name}" for name in _EVERYWHERE)
        raise ConfigError(
            f"{task.env or type(env).__name__} has no scripted policy {level!r}",
            hint=f"{hint}every environment has {everywhere}",
        ) from error
