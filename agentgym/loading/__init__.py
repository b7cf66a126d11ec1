"""Names become objects: one of a table or a plugin, `pkg.mod:attr`, or `path/file.py[:attr]`."""

from agentgym.loading.classes import absolute
from agentgym.loading.envs import configure, installed_envs, load_env
from agentgym.loading.kinds import ENGINE, RENDERER
from agentgym.loading.names import did_you_mean
from agentgym.loading.objects import (
    is_installed,
    load_file,
    load_object,
    require_installed,
    split_file,
)
from agentgym.loading.plugins import Plugin
from agentgym.loading.unions import OrUserClass

__all__ = [
    "ENGINE",
    "RENDERER",
    "OrUserClass",
    "Plugin",
    "absolute",
    "configure",
    "did_you_mean",
    "installed_envs",
    "is_installed",
    "load_env",
    "load_file",
    "load_object",
    "require_installed",
    "split_file",
]
