"""Environments by their names: an id of a table or a plugin, or the place of an object."""

import copyreg
import functools
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agentgym.env import EnvConfig
from agentgym.errors import ConfigError
from agentgym.loading.classes import absolute, load_class
from agentgym.loading.kinds import ENVIRONMENT
from agentgym.loading.objects import split_file
from agentgym.loading.plugins import Plugin, installed


def load_env(ref: str, table: Mapping[str, str]) -> type[EnvConfig]:
    """Find an environment by its id, by `pkg.mod:attr`, or by `path/file.py[:attr]`.

    Ids are those of `table` and of installed plugins; a plugin cannot take the place of an id of
    the table. A file without an attribute must define a single environment.

    Raises:
        ConfigError: there is no such thing, or it is not an environment.
        EnvError: its code raised when imported.
    """
    config = load_class(ENVIRONMENT, ref, table)
    if ref not in table and split_file(ref)[0] is not None:
        copyreg.pickle(config, functools.partial(_reduce, absolute(ref)))
    return config


def installed_envs(table: Mapping[str, str]) -> list[Plugin]:
    """Return the environments that installed packages offer; their names are ids."""
    return installed(ENVIRONMENT.group, table)


def configure(
    config_class: type[EnvConfig], settings: Mapping[str, Any], *, hint: str | None = None
) -> EnvConfig:
    """Make the configuration of an environment from settings given in Python.

    Raises:
        ConfigError: a key is missing, or has a wrong value.
    """
    try:
        return config_class(**settings)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        what = " must be given" if problem["type"] == "missing" else f": {problem['msg']}"
        raise ConfigError(f"{config_class.id}: `{key}`{what}", hint=hint) from error


def _reduce(ref: str, config: EnvConfig) -> tuple[Any, ...]:
    """Pickle a configuration whose module no other process can import by its name."""
    return _again, (ref, config.model_dump(exclude_unset=True))


def _again(ref: str, fields: dict[str, Any]) -> EnvConfig:
    return load_env(ref, {})(**fields)
