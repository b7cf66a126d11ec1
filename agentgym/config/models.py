"""What the models of a configuration are made of: their fields, and the members of unions."""

from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agentgym.loading import OrUserClass


def fields_of(model: type[BaseModel], given: Mapping[str, Any]) -> Mapping[str, FieldInfo]:
    """Return the fields of a model; those of a section that depend on what it holds, too.

    Raises:
        AgentGymError: the class that has the keys cannot be loaded.
    """
    hook = getattr(model, "config_fields", None)
    fields: Mapping[str, FieldInfo] = hook(given) if hook else model.model_fields
    return fields


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """Return the models among the members of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return models_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [model for member in get_args(annotation) for model in models_of(member)]
    return []


def user_class_of(info: FieldInfo) -> OrUserClass[Any] | None:
    """Return what loads the classes of users that a field may hold; None where it may hold none."""
    return next((each for each in info.metadata if isinstance(each, OrUserClass)), None)


def members_of(info: FieldInfo, given: Any) -> list[type[BaseModel]]:
    """Return the models that a field may hold; with the class of a user that `given` names.

    Raises:
        AgentGymError: that class cannot be loaded.
    """
    models = models_of(info.annotation)
    place = user_class_of(info)
    name = given.get("name") if isinstance(given, Mapping) else None
    if place is None or not isinstance(name, str) or name in map(name_of, models):
        return models
    return [*models, place.member(name, models)]


def item_models_of(annotation: Any) -> list[type[BaseModel]]:
    """Return the models of the tables of a list."""
    inside = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return [model for each in inside for model in item_models_of(each)]
    kind = get_origin(annotation)
    if isinstance(kind, type) and issubclass(kind, Collection):
        return [model for each in inside for model in models_of(each)]
    return []


def kind_of(models: Sequence[type[BaseModel]], given: Mapping[str, Any]) -> type[BaseModel] | None:
    """Return the model that is meant by `name`, or the only one."""
    if len(models) == 1:
        return models[0]
    return next((kind for kind in models if name_of(kind) == given.get("name")), None)


def name_of(model: type[BaseModel]) -> str:
    """Return what picks a model among the members of its union."""
    return str(model.model_fields["name"].default)
