"""The local backend: bubblewrap, a seccomp filter and a warm Python worker; no daemon."""

from typing import Literal

from pydantic import BaseModel, Field

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo, Status
from agentgym.sandboxes.pool import LocalSandboxes


class LocalSandboxConfig(BaseModel, extra="forbid", frozen=True):
    """Sandboxes made of kernel namespaces on this machine."""

    name: Literal["local"] = "local"
    limits: Limits = Limits()
    """What a program may use unless a call says otherwise."""
    cpus: float = Field(default=1.0, gt=0)
    """Cores that one sandbox may keep busy, where control groups work."""
    spares: int = Field(default=4, ge=0)
    """Sandboxes kept ready that never ran anything."""
    max_uses: int = Field(default=50, ge=1)
    """Leases after which a sandbox is replaced even if it is clean."""
    exec_slots: int | None = Field(default=None, ge=1)
    """Programs that run at once; twice the cores by default."""
    python: str = "/usr/bin/python3"
    """The interpreter inside; it must be one of the distribution, below /usr."""
    require_cgroups: bool = False
    """Refuse to run where limits hold only per process."""

    def build(self) -> LocalSandboxes:
        """Make the pool; it starts at the first lease and ends with `close`."""
        return LocalSandboxes(self)


async def probe(config: LocalSandboxConfig | None = None) -> SandboxInfo:
    """Start one sandbox, run a program in it and say what protects it.

    Raises:
        SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
    """
    config = (config or LocalSandboxConfig()).model_copy(update={"spares": 0})
    async with config.build() as sandboxes, sandboxes.lease(fresh=True) as sandbox:
        result = await sandbox.python("print(open('/proc/self/status').read())")
        if result.status is not Status.EXITED or b"\nSeccomp:\t2\n" not in result.stdout:
            raise SandboxUnavailable(f"the sandbox runs no program: {result}")
        return sandbox.info
