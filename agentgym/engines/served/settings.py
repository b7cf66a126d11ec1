"""What a user sets of an engine behind a URL."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.engine import EngineConfig, Loaded

if TYPE_CHECKING:
    from agentgym.engines.served.client import ServedEngine


class ServedEngineConfig(EngineConfig):
    """An engine that `agentgym serve` holds, on this machine or another one."""

    name: Literal["served"] = "served"
    url: str = "http://127.0.0.1:8100"
    """What `agentgym serve` printed."""
    token_file: str | None = None
    """A file with the token of the server; null: see `token_env`."""
    token_env: str = "AGENTGYM_SERVE_TOKEN"
    """The environment variable with the token, where there is no file."""
    timeout_s: float = Field(default=600.0, gt=0)
    """The longest wait for one answer."""
    patience_s: float = Field(default=120.0, ge=0)
    """How long requests are tried again once one failed; a restart takes half a minute."""
    weights_dir: str | None = None
    """Where weights are handed over, seen by both sides; null: a folder that the server has."""

    def build(self, loaded: Loaded, *, deterministic: bool = False) -> "ServedEngine":
        """Make the client; the server is asked for the first time in `start`."""
        from agentgym.engines.served.client import ServedEngine

        return ServedEngine(self, loaded, deterministic=deterministic)

    def token_path(self) -> Path | None:
        """Return where the token is read from, unless from the environment."""
        return Path(self.token_file).expanduser() if self.token_file else None
