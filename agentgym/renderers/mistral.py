"""The syntax `mistral`: a list of JSON, or names and JSON, behind a token."""

from agentgym.renderers.calls import (
    Found,
    Schemas,
    Syntax,
    Written,
    dump,
    found,
    load,
    written,
)
from agentgym.types import ToolCall

_CALLS, _ARGUMENTS, _ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"


class Mistral(Syntax):
    """Calls as [TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}], or [TOOL_CALLS]add[ARGS]{"a": 1}."""

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read everything behind the first token: what a model says, it says before."""
        content, *chunks = text.split(_CALLS)
        return found(content, [call for chunk in chunks for call in _read(chunk)])

    def write(self, call: ToolCall) -> str:
        """Write a name and arguments."""
        return f"{_CALLS}{call.name}{_ARGUMENTS}{call.arguments or '{}'}"


def _read(chunk: str) -> list[Written]:
    name, arguments, text = chunk.partition(_ARGUMENTS)
    if arguments:
        name = name.partition(_ID)[0].strip()
        value = load(text)
        return [(name, dump(value) if isinstance(value, dict) else text.strip())]
    calls = load(chunk)
    if not isinstance(calls, list) or not calls:
        return [written(calls, chunk)]
    return [written(call, dump(call)) for call in calls]
