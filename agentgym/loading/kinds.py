"""The kinds of things that users bring, each by a class of theirs that configures it."""

import inspect
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from agentgym.engine import Engine, EngineConfig
from agentgym.env import Env, EnvConfig
from agentgym.errors import AgentGymError, ConfigError, EngineError, EnvError, PolicyError
from agentgym.loading.plugins import Plugin
from agentgym.renderer import Renderer, RendererConfig

C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True)
class Kind(Generic[C]):
    """What is asked of a class that a user names, and what is said where it is not so."""

    noun: str
    article: str
    config: type[C]
    """What the class is derived from."""
    thing: type
    """The contract of what it configures."""
    group: str
    """The entry point group under which installed packages offer such classes."""
    error: type[AgentGymError]
    """Raised where the code around the class raises."""
    howto: str
    """How a file gets such a class."""

    def unwrap(self, found: Any) -> Any:
        """Return the class that an object stands for."""
        return found

    def is_whole(self, config: type[C]) -> bool:
        """Whether it can be used as it is, and is no base of others."""
        return not inspect.isabstract(config)

    def check(self, config: type[C], ref: str) -> None:
        """Look at a class that was named.

        Raises:
            ConfigError: it lacks something.
        """
        if missing := sorted(getattr(config, "__abstractmethods__", ())):
            raise ConfigError(
                f"{ref!r}: the class {config.__name__} has no {' and no '.join(missing)}",
                hint=f"see {self.config.__module__} for what {self.config.__name__} asks",
            )

    def check_plugin(self, config: type[C], plugin: Plugin) -> None:
        """Look at the class that an installed package offers; raises as `check`."""


class EnvKind(Kind[EnvConfig]):
    """Environments have an id of their own, and may be functions under `@ag.env`."""

    def unwrap(self, found: Any) -> Any:
        """Return what `@ag.env` leaves behind, or the object itself."""
        return getattr(found, "env_config", found)

    def is_whole(self, config: type[EnvConfig]) -> bool:
        """Whether it has an id."""
        return hasattr(config, "id")

    def check(self, config: type[EnvConfig], ref: str) -> None:
        """Look for the id."""
        if not isinstance(getattr(config, "id", None), str):
            raise ConfigError(
                f"{ref!r}: the class {config.__name__} has no id",
                hint='give it one: id: ClassVar[str] = "me/Name-v0"',
            )

    def check_plugin(self, config: type[EnvConfig], plugin: Plugin) -> None:
        """Compare the id with the name it is offered by."""
        if config.id != plugin.name:
            raise ConfigError(
                f"{plugin.package} offers {plugin.ref} as {plugin.name}, but its id is {config.id}",
                hint="give the entry point and the environment the same id",
            )


ENVIRONMENT = EnvKind(
    noun="environment",
    article="an",
    config=EnvConfig,
    thing=Env,
    group="agentgym.envs",
    error=EnvError,
    howto="put @ag.env over a function that yields tasks, or subclass EnvConfig with an id",
)
ENGINE: Kind[EngineConfig] = Kind(
    noun="engine",
    article="an",
    config=EngineConfig,  # type: ignore[type-abstract]  # a base to derive from
    thing=Engine,
    group="agentgym.engines",
    error=EngineError,
    howto="subclass agentgym.engine.EngineConfig, with a method build",
)
RENDERER: Kind[RendererConfig] = Kind(
    noun="renderer",
    article="a",
    config=RendererConfig,  # type: ignore[type-abstract]  # a base to derive from
    thing=Renderer,
    group="agentgym.renderers",
    error=PolicyError,
    howto="subclass agentgym.renderer.RendererConfig, with a method build",
)
