"""The docker backend: containers of an engine, hardened, with the same warm Python worker."""

from typing import Literal

from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.docker.backend import DockerBackend
from agentgym.sandboxes.docker.images import DEFAULT_IMAGE
from agentgym.sandboxes.pool import Pool


class DockerSandboxConfig(PoolSettings):
    """Sandboxes in containers of a Docker engine."""

    name: Literal["docker"] = "docker"
    image: str = DEFAULT_IMAGE
    """What the containers are made from: any image with CPython 3.9 or later."""
    python: str = "python3"
    """The interpreter inside: a path, or a name to be found there."""
    runtime: str | None = None
    """Another runtime that the engine knows, such as `runsc`; None: the engine's own."""
    base_url: str | None = None
    """The engine, as `unix:///run/docker.sock`; None: DOCKER_HOST, or the one of this machine."""

    def build(self) -> Pool:
        """Make the pool; it starts at the first lease and ends with `close`."""
        return Pool(self, DockerBackend(self))
