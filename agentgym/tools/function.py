"""`@tool`: a typed function with a docstring becomes something a model can call."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, overload
from weakref import WeakKeyDictionary

import docstring_parser
from pydantic import BaseModel, ValidationError

from agentgym.tools import arguments
from agentgym.tools.limits import missed_by
from agentgym.tools.results import ToolError
from agentgym.tools.schema import usage_of
from agentgym.tools.signature import (
    arguments_model,
    check_function,
    name_of,
    place_of,
    schema_of,
    unusable,
)
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

    def mark(function: F) -> F:
        # The mark of a static method must be on the function: that is what an instance shows.
        plain = getattr(function, "__func__", function)
        check_function(plain)
        setattr(plain, _MARK, _checked(plain, options))
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
        if inspect.ismethod(function):
            return cls(function, _compiled(function.__func__, is_bound=True))
        return cls(function, _compiled(function, is_bound=False))

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
        return place_of(self.function) or "a function"

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


_KNOWN: WeakKeyDictionary[Callable[..., Any], dict[bool, _Compiled]] = WeakKeyDictionary()


def _compiled(function: Callable[..., Any], *, is_bound: bool) -> _Compiled:
    """Compile once for as long as the function lives: closures are made anew every episode."""
    try:
        known = _KNOWN.setdefault(function, {})
    except TypeError:  # it cannot be a weak key
        known = {}
    if is_bound not in known:
        known[is_bound] = _compile(function, is_bound=is_bound)
    return known[is_bound]


def _compile(function: Callable[..., Any], *, is_bound: bool) -> _Compiled:
    check_function(function)
    doc = docstring_parser.parse(inspect.getdoc(function) or "")
    description = "\n\n".join(filter(None, (doc.short_description, doc.long_description)))
    if not description:
        raise unusable(function, "it has no docstring", hint="say what it does in one line")
    described = {param.arg_name: param.description for param in doc.params}
    model = arguments_model(function, described, is_bound=is_bound)
    spec = ToolSpec(name_of(function), description, schema_of(function, model))
    return _Compiled(spec, model, getattr(function, _MARK, _Options()), usage_of(spec))


def _checked(function: Callable[..., Any], given: Mapping[str, Any]) -> _Options:
    known = [field.name for field in fields(_Options)]
    for name, value in given.items():
        if name not in known:
            hint = f"known: {', '.join(known)}"
            raise unusable(function, f"@tool does not know `{name}`", hint=hint)
        if name != "inline" and (wanted := missed_by(name, value)):
            raise unusable(function, f"{name}={value!r}", hint=f"write {wanted}")
    return _Options(**given)


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    texts = []
    for problem in problems[:_MAX_ERRORS]:
        where = ".".join(str(part) for part in problem["loc"])[:_MAX_NAME_CHARS]
        texts.append(f"`{where}`: {problem['msg']}.")
    return " ".join(texts)
