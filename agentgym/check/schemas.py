"""Tool schemas: what is wrong with them, in words."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentgym.types import ToolSpec

_TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def tool_problems(tool: ToolSpec) -> Iterator[str]:
    """Yield what is wrong with a tool: its name, its texts, its schema."""
    if not isinstance(tool.name, str) or not _NAME.fullmatch(tool.name):
        yield "its name must be 1 to 64 letters, digits, _ or -"
    if not isinstance(tool.description, str) or not tool.description.strip():
        yield "it has no description"
    try:
        schema = json.loads(json.dumps(dict(tool.parameters), allow_nan=False))
    except (TypeError, ValueError) as error:
        yield f"its schema is not JSON: {error}"
        return
    if schema.get("type") != "object":
        yield 'its schema must have "type": "object"'
    yield from _problems(schema, "parameters", schema)
    properties = schema.get("properties", {})
    for name, part in properties.items() if isinstance(properties, dict) else ():
        if not (isinstance(part, dict) and str(part.get("description", "")).strip()):
            yield f"parameter `{name}` has no description"


def _problems(schema: Any, at: str, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"{at} must be an object"
        return
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in _TYPES:
            yield f"{at} has the unknown type {kind!r}"
    if "$ref" in schema and not _resolves(schema["$ref"], root):
        yield f"{at} refers to {schema['$ref']!r}, which is not there"
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield f"{at} has an empty enum"
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield f"{at}.properties must be an object"
        return
    for name in schema.get("required", ()):
        if name not in properties:
            yield f"{at} requires `{name}`, which is no property"
    for key in ("properties", "$defs"):
        for name, part in schema.get(key, {}).items():
            yield from _problems(part, f"{at}.{name}", root)
    for key in ("anyOf", "oneOf", "allOf"):
        for number, part in enumerate(schema.get(key, ())):
            yield from _problems(part, f"{at}.{key}[{number}]", root)
    for key in ("items", "additionalProperties"):
        if not isinstance(schema.get(key, True), bool):
            yield from _problems(schema[key], f"{at}.{key}", root)


def _resolves(reference: Any, root: Any) -> bool:
    head, *path = str(reference).split("/")
    for part in path:
        root = root.get(part) if isinstance(root, dict) else None
    return head == "#" and root is not None
