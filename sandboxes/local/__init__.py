"""The local backend: bubblewrap, a seccomp filter and a warm Python worker; no daemon."""

from typing import Literal

from agentgym.sandbox import SandboxInfo
from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.local.backend import LocalBackend
from agentgym.sandboxes.pool import Pool


class LocalSandboxConfig(PoolSettings):
    """Sandboxes made of kernel namespaces on this machine."""

    name: Literal["local"] = "local"
    python: str = "/usr/bin/python3"
    """The interpreter inside; it must be one of the distribution, below /usr."""
    image: str | None = None
    """What `agentgym sandbox build` made, by its name: python, shell, data; None: this machine."""
    require_cgroups: bool = False
    """Refuse to run where limits hold only per process."""

    def build(self) -> Pool:
        """Make the pool; it starts at the first lease and ends with `close`."""
        return Pool(self, LocalBackend(self))


async def probe(config: LocalSandboxConfig | None = None) -> SandboxInfo:
    """Start one sandbox, run a program in it and say what protects it.

    Raises:
        SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
    """
    config = (config or LocalSandboxConfig()).model_copy(update={"spares": 0})
    async with config.build() as sandboxes:
        return await sandboxes.probe()
