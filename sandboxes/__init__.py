"""Where code written by a model runs. A sandbox is one file here and one member of the union."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.local import LocalSandboxConfig

AnySandbox = Annotated[LocalSandboxConfig | DockerSandboxConfig, Field(discriminator="name")]
"""What `[sandbox]` may hold, told apart by `name`."""

BACKENDS: dict[str, Callable[[], PoolSettings]] = {
    "local": LocalSandboxConfig,
    "docker": DockerSandboxConfig,
}
"""The same by their names, for commands."""

__all__ = ["BACKENDS", "AnySandbox"]
