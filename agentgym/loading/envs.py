"""Environments by their names: an id of a table or a plugin, or the place of an object."""

import copyreg
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from agentgym.env import Env, EnvConfig
from agentgym.errors import ConfigError
from agentgym.loading.names import did_you_mean
from agentgym.loading.objects import attribute_of, load_module, load_object, split_file
from agentgym.loading.plugins import Plugin, installed_envs


def load_env(ref: str, table: Mapping[str, str]) -> type[EnvConfig]:
    """Find an environment by its id, by `pkg.mod:attr`, or by `path/file.py[:attr]`.

    Ids are those of `table` and of installed plugins; a plugin cannot take the place of an id of
    the table. A file without an attribute must define a single environment.

    Raises:
        ConfigError: there is no such thing, or it is not an environment.
        EnvError: its code raised when imported.
    """
    if ref in table:
        return _checked(load_object(table[ref], from_here=False), ref)
    plugins = {each.id: each for each in installed_envs(table)}
    if ref in plugins:
        return _load_plugin(plugins[ref])
    path, attribute = split_file(ref)
    if path is not None:
        module = load_module(path)
        found = attribute_of(module, attribute, ref) if attribute else _only_env(module, path)
        config = _checked(found, ref)
        name = f"{path.resolve()}:{attribute}" if attribute else str(path.resolve())
        copyreg.pickle(config, functools.partial(_reduce, name))
        return config
    if ":" in ref and "/" not in ref:
        return _checked(load_object(ref), ref)
    raise ConfigError(f"unknown environment {ref!r}", hint=_hint(ref, {*table, *plugins}))


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


def _hint(ref: str, ids: Iterable[str]) -> str:
    """Say what may have been meant: a file without its ending, one in a folder, or an id."""
    if os.path.isfile(os.path.expanduser(f"{ref}.py")):
        return f"did you mean '{ref}.py'?"
    if os.path.isdir(os.path.expanduser(ref)):
        return f"it is a folder; name a file in it: {Path(ref) / 'file.py'}"
    known = f"known: {', '.join(sorted(ids))}; or give pkg.mod:Config, path/file.py"
    close = did_you_mean(ref, ids)
    return f"did you mean {close!r}? {known}" if close else known


def _load_plugin(plugin: Plugin) -> type[EnvConfig]:
    if plugin.problem is not None:
        raise ConfigError(f"{plugin.id} of {plugin.package}: {plugin.problem}")
    config = _checked(load_object(plugin.ref, from_here=False), plugin.ref)
    if config.id != plugin.id:
        raise ConfigError(
            f"{plugin.package} offers {plugin.ref} as {plugin.id}, but its id is {config.id}",
            hint="give the entry point and the environment the same id",
        )
    return config


def _checked(found: Any, ref: str) -> type[EnvConfig]:
    found = getattr(found, "env_config", found)  # what `@ag.env` leaves behind
    if not (isinstance(found, type) and issubclass(found, EnvConfig)):
        what = f"the class {found.__name__}" if isinstance(found, type) else repr(found)
        is_env = isinstance(found, type) and issubclass(found, Env)
        hint = "name the config of this environment" if is_env else "name a subclass of EnvConfig"
        raise ConfigError(f"{ref!r} is {what}, not the config of an environment", hint=hint)
    if not isinstance(getattr(found, "id", None), str):
        raise ConfigError(
            f"{ref!r}: the class {found.__name__} has no id",
            hint='give it one: id: ClassVar[str] = "me/Name-v0"',
        )
    return found


def _only_env(module: ModuleType, path: Path) -> Any:
    members = [getattr(each, "env_config", each) for each in vars(module).values()]
    configs = [
        each
        for each in members
        if isinstance(each, type)
        and issubclass(each, EnvConfig)
        and each.__module__ == module.__name__
    ]
    named = [each for each in configs if hasattr(each, "id")] or configs
    if not named:
        raise ConfigError(
            f"{path} defines no environment",
            hint="put @ag.env over a function that yields tasks, or subclass EnvConfig with an id",
        )
    if len(named) > 1:
        choices = ", ".join(f"{path}:{each.__name__}" for each in named)
        raise ConfigError(f"{path} defines {len(named)} environments", hint=f"name one: {choices}")
    return named[0]


def _reduce(ref: str, config: EnvConfig) -> tuple[Any, ...]:
    """Pickle a configuration whose module no other process can import by its name."""
    return _again, (ref, config.model_dump(exclude_unset=True))


def _again(ref: str, fields: dict[str, Any]) -> EnvConfig:
    return load_env(ref, {})(**fields)
