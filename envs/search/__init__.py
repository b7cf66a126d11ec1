"""`agentgym/Search-v0`: multi-hop questions over a world that no model has read about."""

from agentgym.envs.search.env import Search, SearchConfig

__all__ = ["Search", "SearchConfig"]
