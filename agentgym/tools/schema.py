"""A tool that brings its own JSON Schema: of another framework, or of a server."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.errors import ConfigError
from agentgym.tools import arguments
from agentgym.tools.limits import missed_by
from agentgym.tools.results import ToolError
from agentgym.types import ToolSpec

_MAX_ERRORS = 3
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaTool:
    """A schema, and what is called with the decoded arguments.

    Names, plain types and enums of the arguments are checked before the call; whatever else the
    schema says is for the function to check, by raising `ToolError`.
    """

    spec: ToolSpec
    function: Callable[[dict[str, Any]], Any]
    """Gets the arguments as one dictionary; plain or async."""
    timeout_s: float = 30.0
    max_output_chars: int = 8000
    inline: bool = False
    """A plain function so cheap that it needs no thread; it has no time limit."""
    origin: str = "a SchemaTool"
    """Whose it is, for errors."""

    def __post_init__(self) -> None:
        """Refuse what would fail at a call.

        Raises:
            ConfigError: a limit is none, or the schema is broken.
        """
        tool = f"tool `{self.spec.name}` of {self.origin}"
        for name in ("timeout_s", "max_output_chars"):
            value = getattr(self, name)
            if wanted := missed_by(name, value):
                raise ConfigError(f"{tool}: {name}={value!r}, expected {wanted}")
        if (problem := _broken(self.spec.parameters)) is not None:
            raise ConfigError(
                f"{tool} has a broken schema: {problem}",
                hint="mend it; tools of an MCPServer can be left out with only=",
            )

    def bind(self, text: str) -> Callable[[], Any]:
        """Return the call that the model asks for.

        Raises:
            ToolError: the arguments are wrong.
        """
        usage = usage_of(self.spec)
        given = arguments.decode(text, usage=usage)
        arguments.encode(given, usage=usage)
        problems = list(_problems(given, self.spec.parameters))[:_MAX_ERRORS]
        if problems:
            raise ToolError(f"{' '.join(problems)} {usage}")
        return functools.partial(self.function, given)


def usage_of(spec: ToolSpec) -> str:
    """Return the signature in the words of JSON, shown after a bad call."""
    required = spec.parameters.get("required", ())
    parts = [
        f"{key}: {_kind(value)}" + ("" if key in required else " (optional)")
        for key, value in spec.parameters.get("properties", {}).items()
    ]
    return f"Expected {spec.name}({', '.join(parts)})."


def _kind(schema: Any) -> Any:
    return schema.get("type", "JSON") if isinstance(schema, Mapping) else "JSON"


def _broken(schema: Mapping[str, Any]) -> str | None:
    """Return what in a schema is not as JSON Schema has it, of that which is looked at."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping):
        return f"`properties` is {properties!r:.80}, expected an object"
    if not _are_texts(required):
        return f"`required` is {required!r:.80}, expected a list of names"
    for name, each in properties.items():
        if not isinstance(each, Mapping):
            continue
        if not isinstance(each.get("enum", []), list | tuple):
            return f"`enum` of `{name}` is {each['enum']!r:.80}, expected a list"
        kinds = each.get("type", [])
        if not isinstance(kinds, str) and not _are_texts(kinds):
            return f"`type` of `{name}` is {kinds!r:.80}, expected a name or a list of names"
    return None


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _problems(given: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in given:
            yield f"`{name}` is missing."
    for name, value in given.items():
        if name not in properties:
            if schema.get("additionalProperties") is False:
                yield f"`{name[:64]}` is no argument."
        elif isinstance(properties[name], Mapping) and not _fits(value, properties[name]):
            yield f"`{name}` should be {_wanted(properties[name])}."


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema and not any(_is_same(value, each) for each in schema["enum"]):
        return False
    kinds = schema.get("type", [])
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    if not names or any(name not in _KINDS for name in names):
        return True
    if isinstance(value, bool):
        return "boolean" in names
    if "integer" in names and isinstance(value, float) and value.is_integer():
        return True
    return any(isinstance(value, _KINDS[name]) for name in names)


def _is_same(value: Any, other: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _wanted(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum']))}"
    kinds = schema["type"]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)
