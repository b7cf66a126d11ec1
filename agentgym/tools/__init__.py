"""Tools: a typed function with a docstring, or a schema with a callable, that a model can call."""

from agentgym.tools.function import tool
from agentgym.tools.results import Final, ToolError, ToolResult
from agentgym.tools.schema import SchemaTool
from agentgym.tools.thread import on_thread
from agentgym.tools.toolset import ToolSet

__all__ = ["Final", "SchemaTool", "ToolError", "ToolResult", "ToolSet", "on_thread", "tool"]
