"""Tools: a typed function with a docstring becomes something a model can call.

What the model does wrong (broken JSON, a tool that is not there, bad arguments, a `ToolError`,
a call that takes too long) comes back as an observation. What a tool *raises* is a fault of the
machinery: an `EnvError`.
"""

import asyncio
import contextvars
import difflib
import functools
import inspect
import json
import threading
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from agentgym.errors import ConfigError, EnvError, boundary
from agentgym.types import Message, ToolCall, ToolSpec

_MARK = "__agentgym_tool__"
_MAX_ERRORS = 3
_MAX_NAME_CHARS = 64

F = TypeVar("F", bound=Callable[..., Any])


class ToolError(Exception):
    """Raised by a tool to tell the model that it did something wrong."""


@dataclass(frozen=True, slots=True)
class Final:
    """What a tool returns to end the episode: the last observation and the reward terms."""

    content: str
    reward: dict[str, float] = field(default_factory=dict)
    """Beside what the environment's own rewards give."""


class ToolResult(NamedTuple):
    """What became of one call."""

    message: Message
    final: Final | None = None
    valid: bool = True
    """False: the model did something wrong."""
    timed_out: bool = False


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


class ToolSet:
    """The tools of one environment, bound to it."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self._tools: dict[str, tuple[_Tool, Callable[..., Any]]] = {}
        for function in functions:
            compiled = _compile(getattr(function, "__func__", function))
            name = compiled.spec.name
            if name in self._tools:
                raise ConfigError(f"two tools are called `{name}`", hint="rename one of them")
            self._tools[name] = (compiled, function)

    @classmethod
    def of(cls, source: object) -> "ToolSet":
        """Collect the marked methods of an instance, or take a list of functions.

        Raises:
            ConfigError: a function cannot be a tool, or two have the same name.
        """
        if isinstance(source, list | tuple):
            return cls(source)
        names = {name: None for base in reversed(type(source).__mro__) for name in vars(base)}
        marked = (name for name in names if hasattr(getattr(type(source), name, None), _MARK))
        return cls(getattr(source, name) for name in marked)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What a model is told, in the order of definition."""
        return tuple(compiled.spec for compiled, _ in self._tools.values())

    async def call(self, call: ToolCall) -> ToolResult:
        """Answer one call, whatever the model wrote.

        Raises:
            EnvError: the function raised something other than `ToolError`.
        """
        if call.name not in self._tools:
            return _refused(call, self._unknown(call.name))
        compiled, function = self._tools[call.name]
        with boundary(EnvError, f"tool `{call.name}`"):
            try:
                arguments = compiled.parse(call.arguments)
                async with asyncio.timeout(compiled.timeout_s) as limit:
                    value = await _run(functools.partial(function, **arguments), compiled)
            except ToolError as error:
                return _refused(call, compiled.cut(str(error)))
            except TimeoutError:
                if not limit.expired():
                    raise
                text = f"`{call.name}` took longer than {compiled.options.timeout_s:g} seconds."
                return ToolResult(_reply(call, text), timed_out=True)
            final = value if isinstance(value, Final) else None
            text = compiled.cut(_to_text(final.content if final else value))
            return ToolResult(_reply(call, text), final)

    def _unknown(self, name: str) -> str:
        name = name[:_MAX_NAME_CHARS]
        close = difflib.get_close_matches(name, self._tools, n=1)
        guess = f" Did you mean `{close[0]}`?" if close else ""
        return f"There is no tool `{name}`.{guess} Tools: {', '.join(self._tools) or 'none'}."


@dataclass(frozen=True, slots=True)
class _Tool:
    """What is known of a function before any call."""

    spec: ToolSpec
    model: type[BaseModel]
    options: _Options
    threaded: bool
    usage: str
    """The signature in the words of JSON, shown after a bad call."""

    @property
    def timeout_s(self) -> float | None:
        return None if self.options.inline else self.options.timeout_s

    def parse(self, text: str) -> dict[str, Any]:
        """Return the keyword arguments; a `ToolError` says what is wrong with them."""
        try:
            raw = json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
        except RecursionError:
            raise ToolError(f"The arguments are nested too deeply. {self.usage}") from None
        except ValueError as error:
            raise ToolError(f"The arguments are not JSON: {error}. {self.usage}") from None
        if not isinstance(raw, dict):
            raise ToolError(f"The arguments must be a JSON object. {self.usage}")
        try:
            # Strictly, so that true is no 1; as JSON, so that a list may be a tuple.
            plain = json.dumps(raw, ensure_ascii=False).encode()
            model = self.model.model_validate_json(plain, strict=True)
        except UnicodeEncodeError:
            raise ToolError(f"The arguments hold half a character. {self.usage}") from None
        except ValidationError as error:
            raise ToolError(f"{_explain(error)} {self.usage}") from None
        fields = self.model.model_fields
        return {str(info.alias): getattr(model, name) for name, info in fields.items()}

    def cut(self, text: str) -> str:
        """Keep the head and the tail of a long text."""
        limit = self.options.max_output_chars
        if len(text) > limit:
            head, tail = limit - limit // 2, limit // 2
            left_out = f"\n... {len(text) - limit} characters left out ...\n"
            text = text[:head] + left_out + text[len(text) - tail :]
        return text


async def _run(function: Callable[[], Any], compiled: _Tool) -> Any:
    value = await on_thread(function) if compiled.threaded else function()
    return await value if inspect.isawaitable(value) else value


async def on_thread(function: Callable[[], Any]) -> Any:
    """Run on a thread of its own: one that hangs holds up neither a pool nor the exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((value, error))

    def work() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (function(), None)
        except BaseException as error:  # noqa: BLE001  raised again by the one who waits
            outcome = (None, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True, name="agentgym-tool").start()
    value, error = await done
    if error is not None:
        raise error
    return value


@functools.cache
def _compile(function: Callable[..., Any]) -> _Tool:
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
    return _Tool(
        spec=ToolSpec(name, description, schema),
        model=model,
        options=options,
        threaded=not (options.inline or inspect.iscoroutinefunction(function)),
        usage=_usage(name, schema),
    )


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
    code = getattr(function, "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
    return ConfigError(f"{place}tool `{_name(function)}`: {what}", hint=hint)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


class _Schema(GenerateJsonSchema):
    """Leaves out the titles, which repeat the names and cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _usage(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    parts = [
        f"{key}: {value.get('type', 'JSON')}" + ("" if key in required else " (optional)")
        for key, value in schema["properties"].items()
    ]
    return f"Expected {name}({', '.join(parts)})."


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    texts = []
    for problem in problems[:_MAX_ERRORS]:
        where = ".".join(str(part) for part in problem["loc"])[:_MAX_NAME_CHARS]
        texts.append(f"`{where}`: {problem['msg']}.")
    return " ".join(texts)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _refused(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(_reply(call, text), valid=False)


def _reply(call: ToolCall, text: str) -> Message:
    if not text.isascii():  # JSON can spell lone surrogates, which no file can hold
        text = text.encode("utf-8", "replace").decode()
    return Message("tool", text, tool_call_id=call.id)


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
