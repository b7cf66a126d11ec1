"""What `agentgym expose` serves, as its user sets it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel, Field

from agentgym.config.run import EnvSection
from agentgym.outward.sessions import IDLE_S
from agentgym.outward.stage import Stage
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.local import LocalSandboxConfig


class Exposed(BaseModel, extra="forbid", frozen=True):
    """An environment, and what its episodes are made of."""

    seed: int = Field(default=0, ge=0)
    """Of the randomness of episodes whose client gives no seed."""
    split: str | None = None
    """Where tasks come from; null: train, where there is such a split."""
    idle_s: float = Field(default=IDLE_S, gt=0)
    """After so long without a word from its client, an episode over HTTP is ended."""
    env: EnvSection
    sandbox: AnySandbox = LocalSandboxConfig()
    """Where programs of a model run."""

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        """Hold the stage and its sandboxes; at the end no episode is open.

        Raises:
            ConfigError: there is no such split.
        """
        config = self.env.config
        sandboxes = self.sandbox.build() if config.needs_sandbox else None
        try:
            stage = Stage(config, split=self.split, seed=self.seed, sandboxes=sandboxes)
            try:
                yield stage
            finally:
                await stage.close()
        finally:
            if sandboxes is not None:
                await sandboxes.close()
