"""Servers of the Model Context Protocol as tools of an environment."""

from agentgym.envs.mcp.server import MCPServer

__all__ = ["MCPServer"]
