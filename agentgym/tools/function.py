"""`@tool`: a typed function with a docstring becomes something a model can call."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from agentgym.errors import ConfigError
from agentgym.tools import arguments
from agentgym.tools.results import ToolError
from agentgym.tools.schema import usage_of
from agentgym.types import ToolSpec

_MARK = "__agentgym_tool__"
_MAX_ERRORS = 3
_MAX_NAME_CHARS = 64

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    timeout_s: float = 30.0
    max_output_chars: int = 8000
    inline: bool = False


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *, timeout_s: float = ..., max_output_chars: int = ..., inline: bool = ...
) -> Callable[[F], F]: ...


def tool(function: Any = None, /, **options: Any) -> Any:
    """Mark a function or method as a tool; it stays callable as before.

    Every parameter needs an annotation. Descriptions come from the docstring (Google, NumPy or
    Sphinx style) or from `Annotated[..., Field(description=..., ge=...)]`, which wins.

    Args:
        function: The function, when the decorator is used without parentheses.
        **options: `timeout_s` (default 30): a call that takes longer becomes an observation; a
            plain function goes on running on its thread. `max_output_chars` (default 8000): of
            a longer result the head and the tail are kept. `inline` (default False): a plain
            function so cheap that it needs no thread; it has no time limit.
    """
    settings = _Options(**options)

    def mark(function: F) -> F:
        setattr(function, _MARK, settings)
        return function

    return mark if function is None else mark(function)


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function or bound method as a tool."""

    function: Callable[..., Any]
    _known: "_Compiled"

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "FunctionTool":
        """Take a function, marked or not.

        Raises:
            ConfigError: it cannot be a tool; the error names file, line and the mend.
        """
        return cls(function, _compile(getattr(function, "__func__", function)))

    @property
    def spec(self) -> ToolSpec:
        """What a model is told."""
        return self._known.spec

    @property
    def timeout_s(self) -> float:
        """How long a call may take."""
        return self._known.options.timeout_s

    @property
    def max_output_chars(self) -> int:
        """Of a longer result the head and the tail are kept."""
        return self._known.options.max_output_chars

    @property
    def inline(self) -> bool:
        """Whether it is called on the event loop."""
        return self._known.options.inline

    @property
    def origin(self) -> str:
        """Its file and line, for errors."""
        return _place(self.function) or "a function"

    def bind(self, text: str) -> Callable[[], Any]:
        """Return the call that the model asks for.

        Raises:
            ToolError: the arguments are wrong.
        """
        return functools.partial(self.function, **self._known.parse(text))


def is_marked(member: object) -> bool:
    """Return whether something carries the mark of `@tool`."""
    return hasattr(member, _MARK)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What is known of a function before any call."""

    spec: ToolSpec
    model: type[BaseModel]
    options: _Options
    usage: str

    def parse(self, text: str) -> dict[str, Any]:
        """Return the keyword arguments; a `ToolError` says what is wrong with them."""
        raw = arguments.decode(text, usage=self.usage)
        try:
            # Strictly, so that true is no 1; as JSON, so that a list may be a tuple.
            model = self.model.model_validate_json(
                arguments.encode(raw, usage=self.usage), strict=True
            )
        except ValidationError as error:
            raise ToolError(f"{_explain(error)} {self.usage}") from None
        fields = self.model.model_fields
        return {str(info.alias): getattr(model, name) for name, info in fields.items()}


@functools.cache
def _compile(function: Callable[..., Any]) -> _Compiled:
    name = _name(function)
    doc = docstring_parser.parse(inspect.getdoc(function) or "")
    description = "\n\n".join(filter(None, (doc.short_description, doc.long_description)))
    if not description:
        raise _unusable(function, "it has no docstring", hint="say what it does in one line")
    described = {param.arg_name: param.description for param in doc.params}
    model = _arguments_model(function, described)
    try:
        schema = model.model_json_schema(schema_generator=_Schema)
    except PydanticUserError as error:
        raise _bad_annotation(function, error) from error
    schema.pop("title")
    options: _Options = getattr(function, _MARK, _Options())
    spec = ToolSpec(name, description, schema)
    return _Compiled(spec, model, options, usage_of(spec))


def _arguments_model(
    function: Callable[..., Any], described: Mapping[str, str | None]
) -> type[BaseModel]:
    """Make the model of the arguments.

    Fields are numbered and carry the parameter's name as alias, so that a parameter may be
    called `json` or `copy` without shadowing pydantic's own attributes.
    """
    hints = _hints(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unusable(
                function,
                f"parameter `{parameter}` cannot be passed by name",
                hint="write every parameter out; a model calls tools by name",
            )
        if parameter.name not in hints:
            raise _unusable(
                function,
                f"parameter `{parameter.name}` has no annotation",
                hint=f"write `{parameter.name}: str`, or what it is",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        field = _field(parameter.name, default, hints[parameter.name], described)
        fields[f"field_{len(fields)}"] = (hints[parameter.name], field)
    try:
        settings = ConfigDict(extra="forbid", allow_inf_nan=False)
        return create_model(_name(function), __config__=settings, **fields)
    except PydanticUserError as error:
        raise _bad_annotation(function, error) from error


def _field(name: str, default: Any, hint: Any, described: Mapping[str, str | None]) -> Any:
    """Return the field; a description in the annotation wins over the docstring's."""
    annotated = any(
        isinstance(part, FieldInfo) and part.description
        for part in getattr(hint, "__metadata__", ())
    )
    if annotated or not described.get(name):
        return Field(default, alias=name)
    return Field(default, alias=name, description=described[name])


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise _bad_annotation(function, error) from error


def _bad_annotation(function: Callable[..., Any], error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0]
    return _unusable(
        function,
        f"an annotation cannot be described as JSON: {reason}",
        hint="use str, int, float, bool, list, dict, Literal or a pydantic model",
    )


def _unusable(function: Callable[..., Any], what: str, *, hint: str) -> ConfigError:
    place = _place(function)
    start = f"{place}: " if place else ""
    return ConfigError(f"{start}tool `{_name(function)}`: {what}", hint=hint)


def _place(function: Callable[..., Any]) -> str | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


class _Schema(GenerateJsonSchema):
    """Leaves out the titles, which repeat the names and cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    texts = []
    for problem in problems[:_MAX_ERRORS]:
        where = ".".join(str(part) for part in problem["loc"])[:_MAX_NAME_CHARS]
        texts.append(f"`{where}`: {problem['msg']}.")
    return " ".join(texts)
