"""Inference engines. An engine is one file here and one member of the union."""

from typing import Annotated

from agentgym.engines.local import LocalEngineConfig
from agentgym.loading import ENGINE, OrUserClass

AnyEngine = Annotated[LocalEngineConfig, OrUserClass(ENGINE)]
"""What `[engine]` may hold: a union told apart by `name` as soon as there are two, or the class of
a user, which is named by its place."""

__all__ = ["AnyEngine"]
