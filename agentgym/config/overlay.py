"""Lay files and `key=value` over the defaults of a pydantic model, and keep every value's source.

Later sources win key by key; lists are replaced. On the command line `key+=[...]` appends and
`section={...}` replaces a whole section. A field that is a union of models picks one by its
`name`. A model whose keys depend on its values has a class method `config_fields(given)`; one
where a word stands for a whole section has a table `words`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from agentgym.config.earlier import write_anew
from agentgym.config.layers import Layers, dotted
from agentgym.config.schema import Checker, explain
from agentgym.config.toml import KeyPath, read_toml, render_key, render_value
from agentgym.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

DEFAULT = "default"


@dataclass(frozen=True)
class Resolved(Generic[M]):
    """A configuration and where each of its values was set."""

    config: M
    provenance: Mapping[str, str]
    """Dotted key -> `file:line`, `command line` or `default`, in the order of the fields."""


def resolve(
    model: type[M],
    files: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    *,
    recorded: bool = False,
) -> Resolved[M]:
    """Merge `files` from left to right, then the `key=value` of `overrides`, and check the result.

    With `recorded` the files were written by `render_toml`, maybe of an earlier version, and the
    sources named in their comments are kept.

    Raises:
        ConfigError: an unknown key, a wrong value, an unreadable file; says where it stands.
    """
    layers = Layers()
    for file in files:
        for entry in read_toml(file):
            source = entry.comment if recorded and entry.comment else f"{file}:{entry.line}"
            layers.put(entry.path, entry.value, source)
        if recorded or _is_of_a_run(file):
            write_anew(layers)
    for text in overrides:
        layers.override(text)
    return check_layers(model, layers)


def _is_of_a_run(file: str | Path) -> bool:
    return (Path(file).parent / "run.json").is_file()


def check_layers(model: type[M], layers: Layers) -> Resolved[M]:
    """Return the configuration that merged values come to.

    Raises:
        ConfigError: an unknown key or a wrong value; says where it stands.
    """
    _spell_out(model, layers)
    Checker(model, layers).check()
    try:
        config = model.model_validate(layers.values)
    except ValidationError as error:
        first = min(error.errors(), key=lambda found: found["type"] == "missing")
        raise explain(model, layers, first) from error
    leaves = _leaves((), config.model_dump())
    return Resolved(config, {dotted(path): layers.source(path, DEFAULT) for path, _ in leaves})


def _spell_out(model: type[BaseModel], layers: Layers) -> None:
    for key, known in getattr(model, "words", {}).items():
        word, source = layers.values.get(key), layers.source((key,), DEFAULT)
        if isinstance(word, str) and word not in known:
            words = " or ".join(render_value(each) for each in known)
            message = f"{source}: `{key}` should be a table of keys or {words}, not "
            raise ConfigError(message + render_value(word), hint=f"name one with {key}.name=...")
        if isinstance(word, str):
            layers.put((key,), known[word], source)


def render_toml(resolved: Resolved[Any]) -> str:
    """Write every key with its source as a comment; reading it gives an equal configuration."""
    lines: list[str] = []
    _render_table((), resolved.config.model_dump(), resolved.provenance, lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def flatten(config: BaseModel) -> dict[str, Any]:
    """Return the values of a configuration by dotted key."""
    return {dotted(path): value for path, value in _leaves((), config.model_dump())}


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _leaves((*path, key), item)
    else:
        yield path, value


def _render_table(
    path: KeyPath, table: Mapping[str, Any], provenance: Mapping[str, str], lines: list[str]
) -> None:
    plain = {key: value for key, value in table.items() if not (isinstance(value, dict) and value)}
    if path and plain:
        lines += ["", f"[{'.'.join(render_key(key) for key in path)}]"]
    for key, value in plain.items():
        source = " ".join(provenance[dotted((*path, key))].split())
        lines.append(f"{f'{render_key(key)} = {render_value(value)}':<40}  # {source}")
    for key, value in table.items():
        if key not in plain:
            _render_table((*path, key), value, provenance, lines)
