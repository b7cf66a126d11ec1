"""What `agentgym serve` serves, as its user sets it."""

from pydantic import BaseModel, Field, model_validator

from agentgym.engines import AnyEngine
from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.settings import ModelConfig


class Limits(BaseModel, extra="forbid", frozen=True):
    """How long things may take, and how often they may go wrong."""

    start_s: float = Field(default=600.0, gt=0)
    """Until an engine is ready."""
    load_s: float = Field(default=300.0, gt=0)
    """Until other weights are in use, and any other change."""
    probe_every_s: float = Field(default=2.0, gt=0)
    """Between two looks at a replica."""
    probe_s: float = Field(default=20.0, gt=0)
    """Until a replica tells its state, which costs it nothing."""
    hang_s: float = Field(default=300.0, gt=0)
    """In which, of the requests under way, one must come to an end."""
    failures: int = Field(default=4, ge=1)
    """Lives in a row of less than a minute before a replica is given up."""
    queue: int = Field(default=1024, ge=1)
    """Requests under way at once; more are asked to come again."""


class Service(BaseModel, extra="forbid", frozen=True):
    """A model, the engine that decodes it, and how many of them."""

    model: ModelConfig = ModelConfig()
    engine: AnyEngine = LocalEngineConfig()
    replicas: int = Field(default=1, ge=1, le=64)
    """Processes with an engine each."""
    deterministic: bool = False
    """One request at a time in each, so that a seed gives the same tokens bit for bit."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _check_engine(self) -> "Service":
        if self.engine.name == "served":
            raise ValueError("a server is no engine that can be served")
        return self
