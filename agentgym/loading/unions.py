"""Sections that hold one of our classes, told apart by `name`, or a class that a user names."""

import copyreg
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, cast, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, ValidatorFunctionWrapHandler, create_model
from pydantic_core import CoreSchema, core_schema

from agentgym.loading.classes import absolute, load_class
from agentgym.loading.kinds import C, Kind
from agentgym.loading.plugins import Plugin, installed

OR_USER_CLASS = "agentgym_or_user_class"
"""Where the schema of such a section keeps the names of the union's own members."""


@dataclass(frozen=True)
class OrUserClass(Generic[C]):
    """Annotates a union: where `name` is that of no member, it is the place of a user's class.

    That class then is one more member of the union, under the name it was given, a path in it
    made absolute: `Annotated[A | B, Field(discriminator="name"), OrUserClass(ENGINE)]`.
    """

    kind: Kind[C]

    def member(self, name: str, own: Sequence[type[BaseModel]]) -> type[C]:
        """Return the class of a name that none of the union's `own` members has.

        Raises:
            ConfigError: there is no such class.
            AgentGymError: `kind.error`: its code raised when imported.
        """
        found = load_class(self.kind, name, _table(own))
        return cast(type[C], _named(found, absolute(name), self))

    def offered(self, own: Sequence[type[BaseModel]]) -> list[Plugin]:
        """Return what installed packages offer beside the union's own members."""
        return installed(self.kind.group, _table(own))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate as the union does, or by the user's class; write whatever it is."""
        own: tuple[type[BaseModel], ...] = get_args(source) or (source,)
        return core_schema.no_info_wrap_validator_function(
            functools.partial(self._validate, own),
            handler(source),
            serialization=core_schema.simple_ser_schema("any"),
            metadata={OR_USER_CLASS: list(_table(own))},
        )

    def _validate(
        self,
        own: tuple[type[BaseModel], ...],
        given: Any,
        handler: ValidatorFunctionWrapHandler,
    ) -> Any:
        if isinstance(given, self.kind.config) and not isinstance(given, own):
            return given
        name = given.get("name") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or name in _table(own):
            return handler(given)
        return self.member(name, own).model_validate({**given, "name": absolute(name)})

    def _again(self, name: str, fields: dict[str, Any]) -> C:
        return self.member(name, ()).model_validate({"name": name, **fields})


def _table(own: Sequence[type[BaseModel]]) -> dict[str, str]:
    return {
        each.model_fields["name"].default: f"{each.__module__}:{each.__qualname__}" for each in own
    }


@functools.cache
def _named(config: type[BaseModel], name: str, place: OrUserClass[Any]) -> type[BaseModel]:
    """Return a class like this one whose `name` is what it was named by.

    No other process can import it by its own, so that it is pickled by that name.
    """
    fields: dict[str, Any] = {"name": (Literal[name], name)}
    member = create_model(
        config.__name__,
        __base__=config,
        __module__=config.__module__,
        __doc__=config.__doc__,
        **fields,
    )

    def reduce(found: BaseModel) -> tuple[Any, ...]:
        return place._again, (name, found.model_dump(exclude_unset=True, exclude={"name"}))

    copyreg.pickle(member, reduce)
    return member
