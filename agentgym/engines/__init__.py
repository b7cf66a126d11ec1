"""Inference engines. An engine is one file or folder here and one member of the union."""

from typing import Annotated

from pydantic import Field

from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.vllm.settings import VllmEngineConfig

AnyEngine = Annotated[LocalEngineConfig | VllmEngineConfig, Field(discriminator="name")]
"""What `[engine]` may hold, told apart by `name`."""

__all__ = ["AnyEngine"]
