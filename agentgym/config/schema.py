"""What is wrong with a configuration: unknown keys and kinds, and the words for every error."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from agentgym.config.layers import COMMAND_LINE, Layers, dotted
from agentgym.config.models import (
    fields_of,
    item_models_of,
    kind_of,
    members_of,
    models_of,
    name_of,
)
from agentgym.config.toml import KeyPath, render_value
from agentgym.errors import AgentGymError, ConfigError

_HINT = "agentgym config show env.id=ENV lists every key with its default"


class Checker:
    """Finds unknown keys and names, and completes sections from their fields' defaults."""

    def __init__(self, model: type[BaseModel], layers: Layers) -> None:
        self._model = model
        self._layers = layers

    def check(self) -> None:
        """Walk the given values.

        Raises:
            ConfigError: the first key or kind that does not exist.
        """
        self._table(self._model, self._layers.values, (), ())

    def _table(
        self,
        model: type[BaseModel],
        given: dict[str, Any],
        path: KeyPath,
        siblings: Iterable[type[BaseModel]],
    ) -> None:
        fields = self._fields(model, given, path)
        for key, value in list(given.items()):
            here = (*path, key)
            if key not in fields:
                if self._is_of_the_kind_before(here, siblings):
                    self._layers.forget(here)
                    continue
                raise self._unknown_key(here, model, siblings)
            models = self._members(fields[key], value, here)
            if models:
                if isinstance(value, dict):
                    _complete(value, fields[key])
                self._section(models, value, here)
            elif items := item_models_of(fields[key].annotation):
                for number, item in enumerate(value if isinstance(value, list) else ()):
                    self._section(items, item, (*here, str(number)))
            elif isinstance(value, bool) and not _takes_bool(fields[key].annotation):
                where = self._layers.blame(here)
                message = f"{where}: `{dotted(here)}` should be a number, not {render_value(value)}"
                raise ConfigError(message, hint=_HINT)

    def _section(self, models: Sequence[type[BaseModel]], value: Any, path: KeyPath) -> None:
        """Walk a table, which may be one of a union; what is no table is told by pydantic."""
        if isinstance(value, dict):
            kind = kind_of(models, value)
            if kind is None:
                raise self._unknown_kind(path, models, value.get("name"))
            self._table(kind, value, path, models)
        elif isinstance(value, str) and len(models) > 1:
            raise self._word_for_a_kind(path, models, value)

    def _is_of_the_kind_before(self, path: KeyPath, siblings: Iterable[type[BaseModel]]) -> bool:
        """Whether a file set this key for a kind that the command line has replaced by another."""
        return self._name_is_replaced(path) and any(
            path[-1] in kind.model_fields for kind in siblings
        )

    def _name_is_replaced(self, path: KeyPath) -> bool:
        """Whether the command line names what a section holds, and a file set this key of it."""
        return (
            self._layers.source((*path[:-1], "name"), "") == COMMAND_LINE
            and self._layers.source(path, "") != COMMAND_LINE
        )

    def _members(self, info: FieldInfo, given: Any, path: KeyPath) -> list[type[BaseModel]]:
        """Return the models of a section; the name of a user's class is made that of a member."""
        own = models_of(info.annotation)
        try:
            models = members_of(info, given)
        except AgentGymError as error:
            where = self._layers.blame((*path, "name"))
            raise type(error)(f"{where}: {error}", hint=error.hint) from error
        if len(models) > len(own):
            given["name"] = name_of(models[-1])
        return models

    def _fields(
        self, model: type[BaseModel], given: dict[str, Any], path: KeyPath
    ) -> Mapping[str, FieldInfo]:
        try:
            return fields_of(model, given)
        except AgentGymError as error:  # naming a class that cannot be loaded
            where = self._layers.blame((*path, "id"))
            raise type(error)(f"{where}: {error}", hint=error.hint) from error

    def _unknown_key(
        self, path: KeyPath, model: type[BaseModel], siblings: Iterable[type[BaseModel]]
    ) -> ConfigError:
        where = self._layers.blame(path)
        others = [kind for kind in siblings if kind is not model and path[-1] in kind.model_fields]
        if others:
            section = dotted(path[:-1])
            names = " and ".join(f'"{name_of(kind)}"' for kind in others)
            return ConfigError(
                f'{where}: `{dotted(path)}` is no key of {section} "{name_of(model)}"',
                hint=f"{names} {'has' if len(others) == 1 else 'have'} it; remove it, or replace the section: "
                f"{section}='{{name = \"{name_of(model)}\"}}'",
            )
        known = list(_known_keys(self._model, self._layers.values))
        depth = len(path)
        beside = (key[:depth] for key in known if key[: depth - 1] == path[:-1])
        siblings_known = list(dict.fromkeys(key for key in beside if len(key) == depth))
        close = closest_key(path, siblings_known) or closest_key(path, known)
        listed = ", ".join(dotted(key) for key in siblings_known or known)
        hint = f"did you mean `{dotted(close)}`?" if close else f"known keys: {listed}"
        if siblings and self._name_is_replaced(path):
            name = f'{{name = "{name_of(model)}"}}'
            hint += f"; to leave out what a file sets: {dotted(path[:-1])}='{name}'"
        return ConfigError(f"{where}: unknown key `{dotted(path)}`", hint=hint)

    def _unknown_kind(
        self, path: KeyPath, models: Sequence[type[BaseModel]], name: Any
    ) -> ConfigError:
        where = self._layers.blame((*path, "name"))
        known = [name_of(kind) for kind in models]
        if name is None:
            message = f"{where}: `{dotted((*path, 'name'))}` is missing"
            return ConfigError(message, hint=f"known: {', '.join(known)}")
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        what = path[-2].removesuffix("s") if path[-1].isdigit() else path[-1]
        message = f"{where}: unknown {what} {name!r}"
        return ConfigError(message, hint=f"{hint}known: {', '.join(known)}")

    def _word_for_a_kind(
        self, path: KeyPath, models: Sequence[type[BaseModel]], word: str
    ) -> ConfigError:
        """Say how a member of a union is named where its name alone stands."""
        known = [name_of(kind) for kind in models]
        close = difflib.get_close_matches(word, known, n=1)
        name = close[0] if close else known[0]
        is_in_list = any(part.isdigit() for part in path)
        example = f'{{name = "{name}"}}' if is_in_list else f"{dotted(path)}.name={name}"
        key, where = dotted(path), self._layers.blame(path)
        message = f"{where}: `{key}` should be a table of keys, not {render_value(word)}"
        return ConfigError(message, hint=f"name one with {example}; known: {', '.join(known)}")


def closest_key(path: KeyPath, known: Sequence[KeyPath]) -> KeyPath | None:
    """Return the key whose last part is nearest, or whose whole is."""
    by_last = {key[-1]: key for key in reversed(known)}
    by_whole = {dotted(key): key for key in known}
    last = difflib.get_close_matches(path[-1], by_last, n=1, cutoff=0.7)
    whole = difflib.get_close_matches(dotted(path), by_whole, n=1, cutoff=0.8)
    return by_last[last[0]] if last else by_whole[whole[0]] if whole else None


def explain(model: type[BaseModel], layers: Layers, error: ErrorDetails) -> ConfigError:
    """Put what pydantic found into words, with the key and its source."""
    path = _key_path(model, layers.values, error["loc"])
    key = dotted(path)
    if error["type"] == "missing":
        key = dotted((*path, *_first_required(model, path)))
        hint = f"set it in a file, or give {key}=... on the command line"
        return ConfigError(f"missing key `{key}`", hint=hint)
    where = layers.blame(path)
    if error["type"] == "extra_forbidden":
        return ConfigError(f"{where}: unknown key `{key}`", hint=_HINT)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "Input should be a table of keys"
    if error["type"] in ("tuple_type", "list_type"):
        message = "Input should be a list"
    if error["type"] in ("value_error", "assertion_error", "other_key"):
        return ConfigError(f"{where}: `{key}`: {message}" if key else message, hint=_HINT)
    message = f"{where}: `{key}` {_lower(message.removeprefix('Input '))}"
    return ConfigError(
        f"{message}, not {_shown(error['input'])}", hint=_close_literal(error) or _as_list(error)
    )


def _first_required(model: type[BaseModel], path: KeyPath) -> KeyPath:
    """Return the key to name when a whole section is missing."""
    models = models_of(model.model_fields[path[0]].annotation) if len(path) == 1 else []
    required = [name for kind in models for name, info in kind.model_fields.items()]
    return tuple(required[:1])


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    text = (
        render_value(value) if isinstance(value, str | int | float | list | dict) else repr(value)
    )
    return text if len(text) <= 80 else text[:77] + "..."


def _close_literal(error: ErrorDetails) -> str | None:
    expected = error.get("ctx", {}).get("expected", "")
    known = str(expected).replace(" or ", ", ").replace("'", "").split(", ")
    close = difflib.get_close_matches(str(error["input"]), known, n=1)
    return f'did you mean "{close[0]}"?' if close and error["type"] == "literal_error" else None


def _as_list(error: ErrorDetails) -> str:
    if error["type"] not in ("tuple_type", "list_type") or not isinstance(error["input"], dict):
        return _HINT
    return f"one alone stands in brackets, too: [{_shown(error['input'])}]"


def _key_path(model: type[BaseModel], given: Any, loc: Sequence[int | str]) -> KeyPath:
    """Drop from pydantic's location what is no key: the tags of unions."""
    path: list[str] = []
    current: type[BaseModel] | None = model
    parts = list(loc)
    while parts:
        part = parts.pop(0)
        if current is None and not _has(given, part) and parts:
            continue
        path.append(str(part))
        found = fields_of(current, given).get(str(part)) if current else None
        given = given[part] if _has(given, part) else {}
        own = models_of(found.annotation) if found else []
        models = members_of(found, given) if found else []
        current = kind_of(models, given) if isinstance(given, dict) else None
        if len(own) > 1 and len(models) == len(own) and parts:
            parts.pop(0)
    return tuple(path)


def _has(given: Any, part: int | str) -> bool:
    if isinstance(given, list):
        return isinstance(part, int) and part < len(given)
    return isinstance(given, dict) and part in given


def _known_keys(
    model: type[BaseModel], given: Mapping[str, Any], path: KeyPath = ()
) -> Iterator[KeyPath]:
    try:
        fields = fields_of(model, given)
    except AgentGymError:  # the class that has the keys cannot be loaded: another error's matter
        yield path
        return
    for key, info in fields.items():
        items = item_models_of(info.annotation)
        for number, item in enumerate(_tables(given.get(key)) if items else ()):
            if (kind := kind_of(items, item)) is not None:
                yield from _known_keys(kind, item, (*path, key, str(number)))
        inner = given.get(key)
        inner = inner if isinstance(inner, dict) else {}
        kind = _known_kind(info, inner)
        if kind is None:
            yield (*path, key)
        else:
            yield from _known_keys(kind, inner, (*path, key))


def _known_kind(info: FieldInfo, given: Mapping[str, Any]) -> type[BaseModel] | None:
    """Return the model that a section has, else the first that it may have."""
    own = models_of(info.annotation)
    try:
        models = members_of(info, given)
    except AgentGymError:
        models = own
    return kind_of(models, given) or (own[0] if own else None)


def _tables(value: Any) -> list[dict[str, Any]]:
    """Return the items of a list, an empty one for each that is no table."""
    items = value if isinstance(value, list) else []
    return [item if isinstance(item, dict) else {} for item in items]


def _takes_bool(annotation: Any) -> bool:
    """Whether true and false are values of it; pydantic would read them as 1 and 0."""
    members = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    return not any(member in (int, float) for member in members) or bool in members


def _complete(given: dict[str, Any], info: FieldInfo) -> None:
    """Add what the default of a field sets explicitly, so that a key changes only itself."""
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or not isinstance(default, BaseModel):
        return
    name = getattr(default, "name", None)
    if given.get("name", name) != name:
        return
    explicit = default.model_dump(exclude_unset=True)
    _lay_under(given, explicit if name is None else {"name": name, **explicit})


def _lay_under(given: dict[str, Any], below: Mapping[str, Any]) -> None:
    for key, value in below.items():
        if isinstance(value, dict) and isinstance(given.get(key), dict):
            _lay_under(given[key], value)
        else:
            given.setdefault(key, value)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
