"""Python objects by their place: `pkg.mod:attr`, or `path/file.py[:attr]`.

Modules are found as `python` finds them, and last of all in the current folder or beside the
file; that folder is appended to `sys.path`, so that it hides nothing.
"""

import hashlib
import importlib
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from agentgym.errors import AgentGymError, ConfigError, EnvError, MissingError, place_of
from agentgym.loading.names import did_you_mean


def load_object(ref: str, *, from_here: bool = True) -> Any:
    """Import `pkg.mod:attr`; the attribute may have dots.

    What is installed need not be looked for in the current folder: not `from_here`, what it lacks
    is not found there either, where others may have put something.

    Raises:
        ConfigError: it is not written like this, or there is no such module or attribute.
        EnvError: the module raised when imported.
    """
    name, _, attribute = ref.partition(":")
    if not attribute or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{ref!r} does not name an object", hint="write pkg.mod:attr")
    if from_here:
        _append_path(Path.cwd())
    try:
        module = _attributed(lambda: importlib.import_module(name), ref)
    except EnvError as error:
        if _is_absent(error.__cause__, name):
            raise ConfigError(f"{ref!r}: {error.__cause__}") from error
        raise
    return attribute_of(module, attribute, ref)


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
    module = load_module(path)
    return attribute_of(module, attribute, ref) if attribute else module


def split_file(ref: str) -> tuple[Path | None, str]:
    """Take `path/file.py[:attr]` apart; None where it names no file."""
    path, _, attribute = (ref, "", "") if ref.endswith(".py") else ref.rpartition(":")
    return (Path(path).expanduser(), attribute) if path.endswith(".py") else (None, "")


def is_installed(module: str) -> bool:
    """Whether a module, `pkg` or `pkg.mod`, can be found here; only the packages above it are run."""
    try:
        return find_spec(module) is not None
    except Exception:  # noqa: BLE001  a package above it is missing, or raises whatever it likes
        return False


def require_installed(module: str, *, needed_by: str, extra: str) -> None:
    """Look for a package that an environment plays.

    Raises:
        MissingError: it is not installed; with the extra that has it.
    """
    if not is_installed(module):
        raise MissingError(
            f"{needed_by} needs the package {module}",
            hint=f"pip install 'agentgym-framework[{extra}]'",
        )


def load_module(path: Path) -> ModuleType:
    """Run a file and return its module; one that has not changed is run once per process.

    Raises:
        ConfigError: it cannot be read.
        EnvError: its code raised.
    """
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


def attribute_of(module: ModuleType, dotted: str, ref: str) -> Any:
    """Return what an attribute of a module, or of something in it, holds.

    Raises:
        ConfigError: there is none of this name.
    """
    found: Any = module
    for part in dotted.split("."):
        if not hasattr(found, part):
            close = did_you_mean(part, [each for each in dir(found) if not each.startswith("_")])
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
