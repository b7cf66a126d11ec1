"""agentgym: LLM agents that act for many turns, and learn from it.

Names are loaded when they are first used, so that importing the package costs nothing.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from agentgym.version import __version__

if TYPE_CHECKING:
    from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
    from agentgym.envs.decorator import env
    from agentgym.envs.mcp.server import MCPServer
    from agentgym.envs.rewards import Transcript, reward
    from agentgym.envs.tool_env import ToolEnv
    from agentgym.panels import Diff, Grid, Table, Terminal
    from agentgym.tools import Final, ToolError, tool
    from agentgym.types import Message, Task, ToolCall, ToolSpec

_WHERE = {
    "Diff": "agentgym.panels",
    "Env": "agentgym.env",
    "EnvConfig": "agentgym.env",
    "EnvStep": "agentgym.env",
    "Final": "agentgym.tools",
    "Grid": "agentgym.panels",
    "MCPServer": "agentgym.envs.mcp",
    "Message": "agentgym.types",
    "Reset": "agentgym.env",
    "Script": "agentgym.env",
    "Table": "agentgym.panels",
    "Task": "agentgym.types",
    "Terminal": "agentgym.panels",
    "ToolCall": "agentgym.types",
    "ToolEnv": "agentgym.envs.tool_env",
    "ToolError": "agentgym.tools",
    "ToolSpec": "agentgym.types",
    "Transcript": "agentgym.envs.rewards",
    "env": "agentgym.envs.decorator",
    "reward": "agentgym.envs.rewards",
    "tool": "agentgym.tools",
}

__all__ = [
    "Diff",
    "Env",
    "EnvConfig",
    "EnvStep",
    "Final",
    "Grid",
    "MCPServer",
    "Message",
    "Reset",
    "Script",
    "Table",
    "Task",
    "Terminal",
    "ToolCall",
    "ToolEnv",
    "ToolError",
    "ToolSpec",
    "Transcript",
    "__version__",
    "env",
    "reward",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'agentgym' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `agentgym.env` the decorator, although a submodule has the same name."""

    @property
    def env(self) -> Any:
        return __getattr__("env")

    @env.setter
    def env(self, submodule: ModuleType) -> None:
        """Take what the import system wants to bind here, and drop it."""


sys.modules[__name__].__class__ = _Package
