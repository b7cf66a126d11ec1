"""The parameters of a function as a pydantic model; what no model can call is refused.

Every refusal names the file, the line and the mend.
"""

import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaError

from agentgym.errors import ConfigError

# What the interfaces of models take as the name of a tool or a parameter.
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNDESCRIBABLE = (
    AttributeError,
    NameError,
    PydanticUserError,
    SchemaError,
    SyntaxError,
    TypeError,
    ValueError,
)


def check_function(function: Callable[..., Any]) -> None:
    """Refuse what is no function, or one that yields.

    Raises:
        ConfigError: it cannot be a tool.
    """
    if not inspect.isroutine(function):
        raise ConfigError(
            f"a tool must be a function, not {function!r:.80}",
            hint="write a def with annotations and a docstring, or a SchemaTool; "
            "an MCPServer stands in @ag.env(tools=...), or in servers() of a ToolEnv",
        )
    plain = inspect.unwrap(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise unusable(function, "it yields", hint="return the whole result")


def arguments_model(
    function: Callable[..., Any], described: Mapping[str, str | None], *, is_bound: bool
) -> type[BaseModel]:
    """Make the model of the arguments.

    Fields are numbered and carry the parameter's name as alias, so that a parameter may be
    called `json` or `copy` without shadowing pydantic's own attributes.

    Raises:
        ConfigError: a parameter cannot be given by a model.
    """
    hints = _hints(function)
    fields: dict[str, Any] = {}
    for parameter in _parameters(function, is_bound=is_bound):
        _check_parameter(function, parameter, hints)
        hint = hints[parameter.name]
        field = _field(parameter, hint, described.get(parameter.name))
        fields[f"field_{len(fields)}"] = (hint, field)
    try:
        settings = ConfigDict(extra="forbid", allow_inf_nan=False)
        model = create_model(name_of(function), __config__=settings, **fields)
    except _UNDESCRIBABLE as error:
        _refuse_annotation(function, error)
    for field in model.model_fields.values():
        _check_default(function, field, hints[str(field.alias)])
    return model


def schema_of(function: Callable[..., Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of the arguments.

    Raises:
        ConfigError: a type or a default cannot be written as JSON.
    """
    try:
        schema = model.model_json_schema(schema_generator=_Schema)
        json.dumps(schema, allow_nan=False)
    except _UNDESCRIBABLE as error:
        _refuse_annotation(function, error)
    schema.pop("title")
    return schema


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or of what stands for one."""
    return str(getattr(function, "__name__", type(function).__name__))


def place_of(function: Callable[..., Any]) -> str | None:
    """Return the file and the line of a function, where it has any."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


def unusable(function: Callable[..., Any], what: str, *, hint: str) -> ConfigError:
    """Return the error that says why a function cannot be a tool."""
    place = place_of(function)
    start = f"{place}: " if place else ""
    return ConfigError(f"{start}tool `{name_of(function)}`: {what}", hint=hint)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except _UNDESCRIBABLE as error:
        _refuse_annotation(function, error)


def _parameters(function: Callable[..., Any], *, is_bound: bool) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise unusable(
            function, "its parameters are not known", hint="wrap it in a def of your own"
        ) from None
    return found[1:] if is_bound else found


def _check_parameter(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any]
) -> None:
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise unusable(
            function,
            f"parameter `{parameter}` cannot be passed by name",
            hint="write every parameter out; a model calls tools by name",
        )
    if not NAME.fullmatch(name):
        raise unusable(
            function,
            f"parameter `{name}` is called what models may not be offered",
            hint="use 1 to 64 letters from a to z, digits and _; its description may be any text",
        )
    if name not in hints and name in ("self", "cls"):
        raise unusable(
            function,
            f"it is a method without an object: parameter `{name}`",
            hint="pass the method of an instance, or write a ToolEnv",
        )
    if name not in hints:
        raise unusable(
            function,
            f"parameter `{name}` has no annotation",
            hint=f"write `{name}: str`, or what it is",
        )
    if isinstance(parameter.default, FieldInfo):
        raise unusable(
            function,
            f"the default of parameter `{name}` is a Field",
            hint=f"write `{name}: Annotated[int, Field(ge=1)] = 3`",
        )


def _field(parameter: inspect.Parameter, hint: Any, description: str | None) -> Any:
    """Return the field; a description in the annotation wins over the docstring's."""
    default = ... if parameter.default is parameter.empty else parameter.default
    is_annotated = any(
        isinstance(part, FieldInfo) and part.description
        for part in getattr(hint, "__metadata__", ())
    )
    if is_annotated or not description:
        return Field(default, alias=parameter.name)
    return Field(default, alias=parameter.name, description=description)


def _check_default(function: Callable[..., Any], field: FieldInfo, hint: Any) -> None:
    if field.is_required():
        return
    try:
        TypeAdapter(hint).validate_python(field.default, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise unusable(
            function,
            f"parameter `{field.alias}` does not allow its own default {field.default!r:.80}: "
            f"{problem}",
            hint="mend the default or the annotation; what may be left out is `int | None = None`",
        ) from None


def _refuse_annotation(function: Callable[..., Any], error: Exception) -> NoReturn:
    reason = str(error).splitlines()[0]
    raise unusable(
        function,
        f"its parameters cannot be described as JSON: {reason}",
        hint="use str, int, float, bool, list, dict, Literal or a pydantic model",
    ) from error


class _Schema(GenerateJsonSchema):
    """Leaves out the titles, which repeat the names and cost tokens; refuses what is no JSON."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:
        raise PydanticInvalidForJsonSchema(detail)
