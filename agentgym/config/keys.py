"""What each key of a configuration means: documentation, type, bounds, choices and default."""

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from agentgym.config.layers import dotted
from agentgym.config.models import (
    fields_of,
    item_models_of,
    members_of,
    models_of,
    name_of,
    user_class_of,
)
from agentgym.config.toml import KeyPath
from agentgym.loading import OrUserClass

_NAMES = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    NoneType: "null",
    Any: "anything",
}
_BOUNDS = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "multiple_of": "a multiple of",
    "min_length": "length at least",
    "max_length": "length at most",
    "pattern": "matching",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key or a section; what several members of a union have is one entry for each."""

    path: KeyPath
    doc: str
    when: tuple[tuple[str, str], ...] = ()
    """(`credit.name`, `gigpo`): the key is there only with that member."""
    kind: str | None = None
    """The `name` of the section, where it is one member of a union."""
    is_section: bool = False
    type: str = "section"
    bounds: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    is_open: bool = False
    """Beside the choices it takes the place of a class: `pkg.mod:Config`, `path/file.py[:Config]`."""
    is_required: bool = False
    default: Any = None
    """As it stands in a file; of a member of a union, whether it is the one that is used."""

    @property
    def key(self) -> str:
        """The path as it stands in files."""
        return dotted(self.path)


def entries(
    model: type[BaseModel],
    given: Mapping[str, Any],
    path: KeyPath = (),
    when: tuple[tuple[str, str], ...] = (),
) -> Iterator[Entry]:
    """Yield every key and section, those of all members of unions too, in the order of the fields.

    Keys that depend on a value, as those of an environment, are there only if `given` has it.

    Raises:
        AgentGymError: a class that `given` names cannot be loaded.
    """
    docs = field_docs(model) | field_docs(_owner(model, given))
    for key, info in _fields(model, given).items():
        here, inner = (*path, key), given.get(key)
        kinds = members_of(info, inner)
        if kinds:
            below = inner if isinstance(inner, Mapping) else {}
            yield from _sections(kinds, info, below, path=here, when=when, doc=docs.get(key, ""))
            continue
        yield _entry(info, here, when, doc=docs.get(key, ""))
        for kind in item_models_of(info.annotation):
            yield from entries(kind, {}, here, when)


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings under the fields of a model and of its bases."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            docs |= _docs_in_source(base)
    return docs


def _docs_in_source(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError, SyntaxError):  # made at run time, or its file is not there
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def _owner(model: type[BaseModel], given: Mapping[str, Any]) -> type[BaseModel]:
    """Return the class that documents the keys of a section: another one for environments."""
    hook = getattr(model, "config_owner", None)
    owner: type[BaseModel] = hook(given) if hook and "id" in given else model
    return owner


def _fields(model: type[BaseModel], given: Mapping[str, Any]) -> Mapping[str, FieldInfo]:
    if hasattr(model, "config_owner") and "id" not in given:
        fields = model.model_fields
        return {key: info for key, info in fields.items() if not models_of(info.annotation)}
    return fields_of(model, given)


def _sections(
    kinds: Sequence[type[BaseModel]],
    info: FieldInfo,
    given: Mapping[str, Any],
    *,
    path: KeyPath,
    when: tuple[tuple[str, str], ...],
    doc: str,
) -> Iterator[Entry]:
    """Yield a section with its keys; of a union, `name` and then every member with its own."""
    default = _default(info)
    used = default.get("name") if isinstance(default, Mapping) else None
    name = (*path, "name")
    place = user_class_of(info)
    is_union = len(kinds) > 1 or place is not None
    if is_union:
        yield Entry(
            path=name,
            doc=doc,
            when=when,
            type="text",
            choices=_names(kinds, place),
            is_open=place is not None,
            is_required=used is None,
            default=used,
        )
    for kind in kinds:
        picked = name_of(kind) if is_union else None
        inside = (*when, (dotted(name), picked)) if picked else when
        about = _about(_owner(kind, given))
        yield Entry(
            path=path,
            doc=about if picked else "\n\n".join(filter(None, (doc, about))),
            when=when,
            kind=picked,
            is_section=True,
            is_required=info.is_required(),
            default=picked is not None and picked == used,
        )
        for entry in entries(kind, given, path, inside):
            if not (picked and entry.path == name):
                yield entry


def _names(kinds: Sequence[type[BaseModel]], place: OrUserClass[Any] | None) -> tuple[str, ...]:
    """Return the names of the members, and of what installed packages offer beside them."""
    names = [name_of(kind) for kind in kinds]
    offered = place.offered(kinds) if place is not None else []
    return (*names, *(each.name for each in offered if each.problem is None))


def _about(kind: type[BaseModel]) -> str:
    """Return what a kind says of itself, and how sure an estimator is to be what it is named."""
    about = inspect.cleandoc(kind.__doc__ or "")
    sureness = getattr(kind, "sureness", None)
    return f"{about}\n\nSureness: {sureness} (docs/credit.md)." if sureness else about


def _entry(info: FieldInfo, path: KeyPath, when: tuple[tuple[str, str], ...], *, doc: str) -> Entry:
    return Entry(
        path=path,
        doc=info.description or doc or ("Which one." if path[-1] == "name" else ""),
        when=when,
        type=type_words(info.annotation),
        bounds=tuple(_bounds([*info.metadata, *_inner_metadata(info.annotation)])),
        choices=tuple(_choices(info.annotation)),
        is_required=info.is_required(),
        default=_default(info),
    )


def _default(info: FieldInfo) -> Any:
    default = info.get_default(call_default_factory=True, validated_data={})
    return None if default is PydanticUndefined else to_jsonable_python(default)


# An annotation in people's words


def type_words(annotation: Any) -> str:
    """Say what values an annotation takes.

    >>> type_words(tuple[float, float]), type_words(int | None), type_words(Literal["a", "b"])
    ('list of 2 numbers', 'whole number or null', 'text')
    """
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(inside[0])
    if origin is Literal:
        return " or ".join(dict.fromkeys(_NAMES.get(type(each), "text") for each in inside))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(type_words, inside)))
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel | Mapping):
        return "table"
    if isinstance(kind, type) and issubclass(kind, Collection) and kind is not str:
        return _list_words(kind, inside)
    return str(_NAMES.get(annotation) or getattr(annotation, "__name__", annotation))


def _list_words(kind: type, inside: tuple[Any, ...]) -> str:
    items = [each for each in inside if each is not Ellipsis]
    words = list(dict.fromkeys(map(type_words, items))) or ["anything"]
    fixed = f"{len(items)} " if kind is tuple and items and Ellipsis not in inside else ""
    if len(words) > 1 or " or " in words[0]:
        return f"list of {fixed}values: {', '.join(words)}"
    return f"list of {fixed}{words[0]}{'' if words[0] in ('text', 'anything') else 's'}"


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for each in metadata:
        for name, words in _BOUNDS.items():
            limit = getattr(each, name, None)
            if limit is not None:
                yield f"{words} {limit}"


def _inner_metadata(annotation: Any) -> list[Any]:
    inside = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return [*inside[1:], *_inner_metadata(inside[0])]
    if get_origin(annotation) in (Union, UnionType):
        return [found for each in inside for found in _inner_metadata(each)]
    return []


def _choices(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for each in get_args(annotation):
            yield from _choices(each)
