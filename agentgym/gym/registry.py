"""What gymnasium is told about the environments: their ids, and where to find the face of them."""

import logging

import gymnasium

from agentgym.envs import ENVS
from agentgym.loading import installed_envs

logger = logging.getLogger(__name__)

ANY = "agentgym/Any-v0"
"""The id under which `ref` or `config_class` says which environment is meant."""

_ENTRY_POINT = "agentgym.gym.env:TextEnv"


def register_all() -> None:
    """Register our environments, those of installed packages, and the one for any other.

    Nothing is imported for it. What gymnasium already has is left alone.
    """
    _register(ANY)
    for name in ENVS:
        _register(name, ref=name)
    for plugin in installed_envs(ENVS):
        if plugin.problem is None:
            try:
                _register(plugin.name, ref=plugin.name)
            except gymnasium.error.Error as error:
                logger.warning("gymnasium refuses %s of %s: %s", plugin.name, plugin.package, error)


def _register(name: str, **kwargs: str) -> None:
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=_ENTRY_POINT, kwargs=kwargs)
