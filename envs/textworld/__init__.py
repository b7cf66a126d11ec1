"""`agentgym/TextWorld-v0`: text adventures that TextWorld makes, and files that it can play."""

from agentgym.envs.textworld.env import TextWorldConfig, TextWorldEnv

__all__ = ["TextWorldConfig", "TextWorldEnv"]
