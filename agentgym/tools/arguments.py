"""The arguments of a call, as a model writes them: JSON text that may be anything."""

import json
import math
from typing import Any

from agentgym.tools.results import ToolError


def decode(text: str, *, usage: str) -> dict[str, Any]:
    """Return the JSON object that a text holds; none is an empty one.

    Raises:
        ToolError: it is no JSON object, or holds what no file can hold.
    """
    try:
        raw = _DECODER.decode(text) if text.strip() else {}
    except RecursionError:
        raise ToolError(f"The arguments are nested too deeply. {usage}") from None
    except ValueError as error:
        raise ToolError(f"The arguments are not JSON: {error}. {usage}") from None
    if not isinstance(raw, dict):
        raise ToolError(f"The arguments must be a JSON object. {usage}")
    return raw


def encode(arguments: dict[str, Any], *, usage: str) -> bytes:
    """Return the arguments as JSON in UTF-8.

    Raises:
        ToolError: they hold half a character.
    """
    try:
        return json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ToolError(f"The arguments hold half a character. {usage}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        shown = text if len(text) <= 20 else f"{text[:20]}..."
        raise ValueError(f"{shown} is too large for a number")
    return value


def _int(text: str) -> int:
    _float(text)  # a tool may want it as one, and would get infinity
    return int(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_float, parse_int=_int)
