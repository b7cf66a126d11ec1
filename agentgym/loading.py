"""Names become objects: an id of a table or a plugin, `pkg.mod:attr`, or `path/file.py[:attr]`.

Modules are found as `python` finds them, and last of all in the current folder or beside the
file; that folder is appended to `sys.path`, so that it hides nothing.
"""

import copyreg
import difflib
import functools
import hashlib
import importlib
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import ValidationError

from agentgym.env import Env, EnvConfig
from agentgym.errors import AgentGymError, ConfigError, EnvError, place_of

_GROUP = "agentgym.envs"


def load_env(ref: str, table: Mapping[str, str]) -> type[EnvConfig]:
    """Find an environment by its id, by `pkg.mod:attr`, or by `path/file.py[:attr]`.

    Ids are those of `table` and of installed plugins; a plugin cannot take the place of an id of
    the table. A file without an attribute must define a single environment.

    Raises:
        ConfigError: there is no such thing, or it is not an environment.
        EnvError: its code raised when imported.
    """
    if ref in table:
        return _checked(load_object(table[ref]), ref)
    plugins = {each.id: each for each in installed_envs(table)}
    if ref in plugins:
        return _load_plugin(plugins[ref])
    path, attribute = split_file(ref)
    if path is not None:
        module = _load_module(path)
        found = _attribute(module, attribute, ref) if attribute else _only_env(module, path)
        config = _checked(found, ref)
        name = f"{path.resolve()}:{attribute}" if attribute else str(path.resolve())
        copyreg.pickle(config, functools.partial(_reduce, name))
        return config
    if ":" in ref and "/" not in ref:
        return _checked(load_object(ref), ref)
    raise ConfigError(f"unknown environment {ref!r}", hint=_hint(ref, {*table, *plugins}))


def _hint(ref: str, ids: Iterable[str]) -> str:
    """Say what may have been meant: a file without its ending, one in a folder, or an id."""
    if os.path.isfile(os.path.expanduser(f"{ref}.py")):
        return f"did you mean '{ref}.py'?"
    if os.path.isdir(os.path.expanduser(ref)):
        return f"it is a folder; name a file in it: {Path(ref) / 'file.py'}"
    known = f"known: {', '.join(sorted(ids))}; or give pkg.mod:Config, path/file.py"
    close = did_you_mean(ref, ids)
    return f"did you mean {close!r}? {known}" if close else known


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


def is_installed(module: str) -> bool:
    """Whether a module, `pkg` or `pkg.mod`, can be found here; only the packages above it are run."""
    try:
        return find_spec(module) is not None
    except Exception:  # noqa: BLE001  a package above it is missing, or raises whatever it likes
        return False


class Plugin(NamedTuple):
    """An environment that an installed package offers, not imported yet."""

    id: str
    ref: str
    package: str
    """The distribution that offers it."""
    problem: str | None = None
    """Why it cannot be used, as far as that can be seen without importing it."""


def installed_envs(table: Mapping[str, str]) -> list[Plugin]:
    """Return what installed packages offer under the entry point group `agentgym.envs`.

    The name of an entry point is the id of the environment, its value `pkg.mod:attr`.
    """
    points = sorted(entry_points(group=_GROUP), key=lambda point: (point.name, point.value))
    counts = Counter(point.name for point in points)
    return [
        Plugin(
            point.name,
            point.value,
            point.dist.name if point.dist else "?",
            _problem(point, is_ours=point.name in table, is_unique=counts[point.name] == 1),
        )
        for point in points
    ]


def _problem(point: EntryPoint, *, is_ours: bool, is_unique: bool) -> str | None:
    if is_ours:
        return "its id is one of agentgym's own; give it another"
    if not is_unique:
        return "another package offers the same id; remove one of them"
    if ":" not in point.value:
        return f"its entry point {point.value!r} should be written pkg.mod:attr"
    return None


def _reduce(ref: str, config: EnvConfig) -> tuple[Any, ...]:
    """Pickle a configuration whose module no other process can import by its name."""
    return _again, (ref, config.model_dump(exclude_unset=True))


def _again(ref: str, fields: dict[str, Any]) -> EnvConfig:
    return load_env(ref, {})(**fields)


def _load_plugin(plugin: Plugin) -> type[EnvConfig]:
    if plugin.problem is not None:
        raise ConfigError(f"{plugin.id} of {plugin.package}: {plugin.problem}")
    config = _checked(load_object(plugin.ref), plugin.ref)
    if config.id != plugin.id:
        raise ConfigError(
            f"{plugin.package} offers {plugin.ref} as {plugin.id}, but its id is {config.id}",
            hint="give the entry point and the environment the same id",
        )
    return config


def load_object(ref: str) -> Any:
    """Import `pkg.mod:attr`; the attribute may have dots.

    Raises:
        ConfigError: it is not written like this, or there is no such module or attribute.
        EnvError: the module raised when imported.
    """
    name, _, attribute = ref.partition(":")
    if not attribute or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{ref!r} does not name an object", hint="write pkg.mod:attr")
    _append_path(Path.cwd())
    try:
        module = _attributed(lambda: importlib.import_module(name), ref)
    except EnvError as error:
        if _is_absent(error.__cause__, name):
            raise ConfigError(f"{ref!r}: {error.__cause__}") from error
        raise
    return _attribute(module, attribute, ref)


def load_file(ref: str) -> Any:
    """Run `path/file.py` and return its module, or with `path/file.py:attr` that attribute.

    A file that has not changed is run once per process.

    Raises:
        ConfigError: there is no such file or attribute.
        EnvError: its code raised.
    """
    path, attribute = split_file(ref)
    if path is None:
        raise ConfigError(f"{ref!r} does not name a file", hint="write path/file.py[:attr]")
    module = _load_module(path)
    return _attribute(module, attribute, ref) if attribute else module


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, if any.

    >>> did_you_mean("keydoor", ["agentgym/Code-v0", "agentgym/KeyDoor-v0"])
    'agentgym/KeyDoor-v0'
    """
    lowered = {each.lower(): each for each in known}
    wanted = name.lower()
    if wanted in lowered:
        return lowered[wanted]
    containing = [each for each in lowered if wanted and wanted in each]
    if len(containing) == 1:
        return lowered[containing[0]]
    stems = {_stem(each): each for each in lowered}
    close = difflib.get_close_matches(_stem(wanted), stems, n=1)
    return lowered[stems[close[0]]] if close else None


def _stem(name: str) -> str:
    """Leave out what names have in common: agentgym/ and -v0 of an id, .py of a file."""
    tail = name.rpartition("/")[2].removesuffix(".py")
    return re.sub(r"-v\d+$", "", tail) or name


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


def split_file(ref: str) -> tuple[Path | None, str]:
    """Take `path/file.py[:attr]` apart; None where it names no file."""
    path, _, attribute = (ref, "", "") if ref.endswith(".py") else ref.rpartition(":")
    return (Path(path).expanduser(), attribute) if path.endswith(".py") else (None, "")


def _load_module(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        elsewhere = "put it there, or a link to where it is now"
        hint = elsewhere if path.is_absolute() else "a path is taken from the current folder"
        hint = _nearest_file(path) or hint
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    path = path.resolve()
    key = hashlib.blake2b(bytes(path) + b"\0" + source, digest_size=6).hexdigest()
    name = f"_file_{path.stem}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None  # the name ends with .py
    module = module_from_spec(spec)
    _append_path(path.parent)
    sys.modules[name] = module  # dataclasses and pydantic look their module up here

    def run() -> ModuleType:
        exec(compile(source, str(path), "exec"), module.__dict__)
        return module

    try:
        return _attributed(run, str(path))
    except BaseException:
        del sys.modules[name]
        raise


def _attributed(load: Callable[[], ModuleType], ref: str) -> ModuleType:
    """Call `load`; what it raises is the fault of the code that is loaded, and says where.

    What it prints goes to stderr: stdout may be the JSON of a command.
    """
    try:
        with redirect_stdout(sys.stderr):
            return load()
    except (Exception, SystemExit) as error:
        hint = error.hint if isinstance(error, AgentGymError) else None
        place = ref if isinstance(error, SyntaxError) and not error.filename else place_of(error)
        message = f"{place or ref}: importing raised {type(error).__name__}: {error}"
        raise EnvError(message, hint=hint) from error


def _is_absent(error: BaseException | None, name: str) -> bool:
    """Whether the module asked for, or a package it is in, does not exist."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    return name == error.name or name.startswith(f"{error.name}.")


def _attribute(module: ModuleType, dotted: str, ref: str) -> Any:
    found: Any = module
    for part in dotted.split("."):
        if not hasattr(found, part):
            close = did_you_mean(part, [each for each in vars(found) if not each.startswith("_")])
            hint = f"did you mean {close!r}?" if close else None
            raise ConfigError(f"{ref!r}: there is no {part!r}", hint=hint)
        found = getattr(found, part)
    return found


def _nearest_file(path: Path) -> str | None:
    files = [each.name for each in path.parent.glob("*.py") if each.is_file()]
    close = did_you_mean(path.name, files)
    return f"did you mean {str(path.parent / close)!r}?" if close else None


def _append_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
