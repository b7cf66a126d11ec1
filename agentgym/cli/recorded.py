"""What commands that read runs ask of them: the environment, what success is, whether they are whole."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.env import EnvConfig
    from agentgym.store.run import Run


def env_section(run: "Run") -> dict[str, Any]:
    """Return the keys of `[env]` that a run was made with; its environment is not loaded.

    Raises:
        ConfigError: its configuration cannot be read.
    """
    from agentgym.config.layers import dotted
    from agentgym.config.toml import read_toml

    entries = read_toml(run.config_path)
    return {dotted(each.path[1:]): each.value for each in entries if each.path[0] == "env"}


def env_class(run: "Run") -> "type[EnvConfig]":
    """Return the environment of a run.

    Raises:
        AgentGymError: it cannot be loaded here.
    """
    from agentgym.envs import ENVS
    from agentgym.loading import load_env

    return load_env(str(env_section(run).get("id")), ENVS)


def unfinished(run: "Run") -> str | None:
    """Say where a run is not finished, so that nobody takes a part for the whole."""
    if run.status == "running":
        return f"{run.root} is being written; only what is there now is used"
    if run.status != "finished":
        return f"{run.root} did not finish ({run.status}); what it recorded is used"
    return None
