"""Classes by their names: those of a table or a plugin, or the place of one."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from agentgym.errors import ConfigError, EnvError
from agentgym.loading.kinds import C, Kind
from agentgym.loading.names import did_you_mean
from agentgym.loading.objects import attribute_of, load_module, load_object, split_file
from agentgym.loading.plugins import Plugin, installed


def load_class(kind: Kind[C], ref: str, table: Mapping[str, str]) -> type[C]:
    """Find a class by its name, by `pkg.mod:attr`, or by `path/file.py[:attr]`.

    Names are those of `table` and of installed plugins; a plugin cannot take the place of a name
    of the table. A file without an attribute must define a single class of the kind.

    Raises:
        ConfigError: there is no such thing, or it is not of the kind.
        AgentGymError: `kind.error`: its code raised when imported.
    """
    with _blamed(kind):
        if ref in table:
            return _checked(kind, load_object(table[ref], from_here=False), ref)
        plugins = {each.name: each for each in installed(kind.group, table)}
        if ref in plugins:
            return _load_plugin(kind, plugins[ref])
        path, attribute = split_file(ref)
        if path is not None:
            module = load_module(path)
            found = attribute_of(module, attribute, ref) if attribute else _only(kind, module, path)
            return _checked(kind, found, ref)
        if ":" in ref and "/" not in ref:
            return _checked(kind, load_object(ref), ref)
        raise ConfigError(f"unknown {kind.noun} {ref!r}", hint=_hint(ref, {*table, *plugins}))


def absolute(ref: str) -> str:
    """Make a path in `path/file.py[:Config]` absolute, so that it is found from any folder."""
    path, attribute = split_file(ref)
    if path is None or not path.is_file():
        return ref
    return f"{path.resolve()}:{attribute}" if attribute else str(path.resolve())


@contextmanager
def _blamed(kind: Kind[C]) -> Iterator[None]:
    """Attribute what imported code raises to the kind of thing that it is."""
    try:
        yield
    except EnvError as error:
        if kind.error is EnvError:
            raise
        raise kind.error(str(error), hint=error.hint) from error


def _hint(ref: str, names: Iterable[str]) -> str:
    """Say what may have been meant: a file without its ending, one in a folder, or a name."""
    if os.path.isfile(os.path.expanduser(f"{ref}.py")):
        return f"did you mean '{ref}.py'?"
    if os.path.isdir(os.path.expanduser(ref)):
        return f"it is a folder; name a file in it: {Path(ref) / 'file.py'}"
    known = f"known: {', '.join(sorted(names))}; or give pkg.mod:Config, path/file.py"
    close = did_you_mean(ref, names)
    return f"did you mean {close!r}? {known}" if close else known


def _load_plugin(kind: Kind[C], plugin: Plugin) -> type[C]:
    if plugin.problem is not None:
        raise ConfigError(f"{plugin.name} of {plugin.package}: {plugin.problem}")
    config = _checked(kind, load_object(plugin.ref, from_here=False), plugin.ref)
    kind.check_plugin(config, plugin)
    return config


def _checked(kind: Kind[C], found: Any, ref: str) -> type[C]:
    found = kind.unwrap(found)
    if not (isinstance(found, type) and issubclass(found, kind.config)):
        is_class = isinstance(found, type)
        what = f"the class {found.__name__}" if is_class else repr(found)
        is_thing = is_class and issubclass(found, kind.thing)
        raise ConfigError(
            f"{ref!r} is {what}, not the config of {kind.article} {kind.noun}",
            hint=f"name the config of this {kind.noun}"
            if is_thing
            else f"name a subclass of {kind.config.__name__}",
        )
    kind.check(found, ref)
    return found


def _only(kind: Kind[C], module: ModuleType, path: Path) -> Any:
    configs = [
        each
        for each in map(kind.unwrap, vars(module).values())
        if isinstance(each, type)
        and issubclass(each, kind.config)
        and each.__module__ == module.__name__
    ]
    whole = [each for each in configs if kind.is_whole(each)] or configs
    if not whole:
        raise ConfigError(f"{path} defines no {kind.noun}", hint=kind.howto)
    if len(whole) > 1:
        choices = ", ".join(f"{path}:{each.__name__}" for each in whole)
        raise ConfigError(f"{path} defines {len(whole)} {kind.noun}s", hint=f"name one: {choices}")
    return whole[0]
