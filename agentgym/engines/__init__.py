"""Inference engines. An engine is one file or folder here and one member of the union."""

from typing import Annotated

from pydantic import Field

from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.loading import ENGINE, OrUserClass

AnyEngine = Annotated[
    LocalEngineConfig | VllmEngineConfig | ServedEngineConfig,
    Field(discriminator="name"),
    OrUserClass(ENGINE),
]
"""What `[engine]` may hold, told apart by `name`, or the class of a user, named by its place."""

__all__ = ["AnyEngine"]
