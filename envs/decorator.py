"""`@ag.env`: a generator of tasks and a list of tools become an environment, in one short file."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, overload

from pydantic import Field, create_model

from agentgym.env import Env, EnvConfig, Script
from agentgym.envs.mcp.server import MCPServer
from agentgym.envs.rewards import Rewards, reward
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import ConfigError, EnvError
from agentgym.loading import load_object
from agentgym.tools import SchemaTool, ToolSet
from agentgym.types import Task

Tasks = Callable[..., Iterator[Task]]
Tool = Callable[..., Any] | SchemaTool | MCPServer
F = TypeVar("F", bound=Callable[..., Any])
_SEVERAL = ("splits", "tiers", "packages")  # a text would be taken for its letters


def env(
    id: str,
    *,
    tools: Sequence[Tool] = (),
    system: str = "",
    max_turns: int = 16,
    splits: tuple[str, ...] = ("train",),
    **declared: Any,
) -> Callable[[Tasks], "Declared"]:
    """Make an environment of a function that yields its tasks.

    The function may take the split as its only parameter. What is not declared (more splits, an
    expert) is reported by `agentgym check` as not checked.

    Args:
        id: Its name, such as me/Calc-v0; the version changes whenever scores do.
        tools: Functions with annotations and a docstring, marked with `@tool` or not; and
            MCP servers.
        system: The system message; none when empty.
        max_turns: Steps after which an episode is truncated.
        splits: The splits that the function knows.
        **declared: Other class variables of `EnvConfig`, such as reward_range or uses_seed.

    Raises:
        ConfigError: there is no id, a tool cannot be one, two have the same name, or a declaration
            is unknown, or a text where several are expected.
    """
    if callable(id):
        raise ConfigError("`@ag.env` names no id", hint='write @ag.env("me/Name-v0") over it')
    _functions(tools)
    _check_declared({"splits": splits, **declared})

    def declare(tasks: Tasks) -> Declared:
        packages = (*declared.get("packages", ()), *(["mcp"] if _servers(tools) else []))
        return Declared(
            tasks,
            {"id": id, "splits": tuple(splits), **declared, "packages": packages},
            tools=tuple(tools),
            system=system,
            max_turns=max_turns,
        )

    return declare


class Declared:
    """A generator of tasks that is an environment; it stays callable as before."""

    def __init__(
        self,
        tasks: Tasks,
        declared: Mapping[str, Any],
        *,
        tools: tuple[Tool, ...],
        system: str,
        max_turns: int,
    ) -> None:
        self._tasks = tasks
        self.tools = tools
        self.system = system
        self.rewards = Rewards(())
        self.script: Callable[[Task], Script] | None = None
        self.__doc__ = tasks.__doc__
        self.env_config = _config(self, tasks, declared, max_turns=max_turns)
        """The configuration: what a reference to this file finds."""

    def __call__(self, *args: Any, **kwargs: Any) -> Iterator[Task]:
        """Yield the tasks."""
        return self._tasks(*args, **kwargs)

    def of_split(self, split: str) -> Iterator[Task]:
        """Yield the tasks of a split; the function need not take it."""
        takes_split = bool(inspect.signature(self._tasks).parameters)
        tasks = self._tasks(split) if takes_split else self._tasks()
        if not isinstance(tasks, Iterable):
            raise EnvError(
                f"{self._place}: `{self._tasks.__name__}` returned {tasks!r:.80}",
                hint="yield ag.Task(...) in it, or return a list of them",
            )
        return iter(tasks)

    def check_rewards(self) -> None:
        """Refuse what could never be paid: no reward, and no tool that may end the episode.

        Raises:
            ConfigError: there is none, or a gate is no reward.
        """
        self.rewards.check()
        if not self.rewards and not any(map(_may_end, self.tools)):
            name = self._tasks.__name__
            raise ConfigError(
                f"{self._place}: `{name}` has no reward, so that every outcome would be 0",
                hint=f"write one: @{name}.reward over def correct(transcript, task) -> float",
            )

    @property
    def _place(self) -> str:
        code = inspect.unwrap(self._tasks).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    @overload
    def reward(self, function: F, /) -> F: ...

    @overload
    def reward(
        self, /, *, weight: float = ..., gate: str | None = ..., gate_at: float = ...
    ) -> Callable[[F], F]: ...

    def reward(self, function: Any = None, /, **options: Any) -> Any:
        """Take a function (transcript, task) -> float as a reward; options as of `ag.reward`."""

        def add(function: F) -> F:
            self.rewards.add(reward(**options)(function))
            return function

        return add if function is None else add(function)

    def expert(self, function: Callable[[Task], Script]) -> Callable[[Task], Script]:
        """Take a function task -> (conversation -> message) as the expert."""
        self.script = function
        return function


class _DeclaredConfig(EnvConfig):
    """The configuration of an environment that `@ag.env` made."""

    declaration: ClassVar[Declared]

    def tasks(self, split: str) -> Iterator[Task]:
        return self.declaration.of_split(split)

    def build(self, sandboxes: object = None) -> Env:
        return _DeclaredEnv(self.declaration)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the name of the function: the class stands under no name of its module."""
        ref = f"{type(self).__module__}:{type(self).__name__}"
        return _again, (ref, self.model_dump(exclude_unset=True))


class _DeclaredEnv(ToolEnv):
    """Tools and rewards are functions of the file."""

    def __init__(self, declaration: Declared) -> None:
        self._declaration = declaration
        self.system = declaration.system  # type: ignore[misc]

    def toolset(self) -> ToolSet:
        return _functions(self._declaration.tools)

    def servers(self, task: Task, *, seed: int) -> Sequence[MCPServer]:
        return _servers(self._declaration.tools)

    def rewards(self) -> Rewards:
        self._declaration.check_rewards()
        return self._declaration.rewards

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        if level != "expert" or self._declaration.script is None:
            return super().expert(task, seed=seed, level=level)
        return self._declaration.script(task)


def _functions(tools: Sequence[Tool]) -> ToolSet:
    return ToolSet(tool for tool in tools if not isinstance(tool, MCPServer))


def _servers(tools: Sequence[Tool]) -> tuple[MCPServer, ...]:
    return tuple(tool for tool in tools if isinstance(tool, MCPServer))


def _may_end(tool: Tool) -> bool:
    """Whether a tool says that it may return `Final`, which can pay."""
    function = tool.function if isinstance(tool, SchemaTool) else tool
    if isinstance(function, MCPServer):
        return False
    return "Final" in str(inspect.signature(function).return_annotation)


def _again(ref: str, fields: dict[str, Any]) -> EnvConfig:
    config: type[EnvConfig] = load_object(ref).env_config
    return config(**fields)


def _config(
    declaration: Declared, tasks: Tasks, declared: Mapping[str, Any], *, max_turns: int
) -> type[EnvConfig]:
    config = create_model(
        tasks.__name__,
        __base__=_DeclaredConfig,
        __module__=tasks.__module__,
        __doc__=tasks.__doc__,
        max_turns=(int, Field(default=max_turns)),
    )
    for name, value in {**declared, "declaration": declaration}.items():
        setattr(config, name, value)
    config.__firstlineno__ = inspect.unwrap(tasks).__code__.co_firstlineno  # type: ignore[attr-defined]
    return config


def _check_declared(declared: Mapping[str, Any]) -> None:
    known = {name for name in EnvConfig.__class_vars__ if not name.startswith("_")}
    for name, value in declared.items():
        if name not in known:
            raise ConfigError(
                f"@ag.env does not know `{name}`", hint=f"known: {', '.join(sorted(known))}"
            )
        if name in _SEVERAL and isinstance(value, str):
            raise ConfigError(
                f"`{name}` of @ag.env is the text {value!r}, expected a tuple of texts",
                hint=f"write {name}=({value!r},)",
            )
