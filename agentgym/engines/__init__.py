"""Inference engines. An engine is one file here and one member of the union."""

from agentgym.engines.local import LocalEngineConfig

AnyEngine = LocalEngineConfig
"""What `[engine]` may hold: a union told apart by `name` as soon as there are two."""

__all__ = ["AnyEngine"]
