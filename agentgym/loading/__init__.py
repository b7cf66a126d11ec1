"""Names become objects: an id of a table or a plugin, `pkg.mod:attr`, or `path/file.py[:attr]`."""

from agentgym.loading.envs import configure, load_env
from agentgym.loading.names import did_you_mean
from agentgym.loading.objects import (
    is_installed,
    load_file,
    load_object,
    require_installed,
    split_file,
)
from agentgym.loading.plugins import Plugin, installed_envs

__all__ = [
    "Plugin",
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
