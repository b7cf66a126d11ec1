"""What a backend is: settings that make a pool, and something that starts sandboxes for it."""

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, Field

from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes.box import WorkerSandbox

if TYPE_CHECKING:
    from agentgym.sandboxes.pool import Pool


class PoolSettings(BaseModel, ABC, extra="forbid", frozen=True):
    """What sandboxes of every backend have in common."""

    name: str
    limits: Limits = Limits()
    """What a program may use unless a call says otherwise."""
    cpus: float = Field(default=1.0, ge=0.01, le=4096)
    """Cores that one sandbox may keep busy, where control groups work."""
    spares: int = Field(default=4, ge=0)
    """Sandboxes kept ready that never ran anything."""
    max_uses: int = Field(default=50, ge=1)
    """Leases after which a sandbox is replaced even if it is clean."""
    exec_slots: int | None = Field(default=None, ge=1)
    """Programs that run at once; twice the cores by default."""
    max_size: int = Field(default=512, ge=1, le=1000)
    """Sandboxes at once; whoever wants one more waits."""
    wait_s: float = Field(default=300.0, gt=0)
    """How long to wait for one."""
    max_age_s: float = Field(default=1800.0, gt=0)
    """Age after which a sandbox is replaced, when it comes back or its turn comes."""

    @abstractmethod
    def build(self) -> "Pool":
        """Make the pool; it starts at the first lease and ends with `close`."""


class Backend(Protocol):
    """Starts sandboxes of one kind."""

    info: SandboxInfo

    async def start(self, *, exec_slots: asyncio.Semaphore) -> WorkerSandbox:
        """Start one and wait until it is ready.

        Raises:
            SandboxUnavailable: it cannot be; with the reason, and the command that mends it.
        """
        ...

    async def close(self) -> None:
        """End everything that was started here. Idempotent."""
        ...
