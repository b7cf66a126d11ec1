"""`agentgym/TextArena-v0`: any game of TextArena for one player or two."""

from agentgym.envs.textarena.env import TextArenaConfig, TextArenaEnv

__all__ = ["TextArenaConfig", "TextArenaEnv"]
