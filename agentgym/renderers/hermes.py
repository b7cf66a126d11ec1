"""The syntax `hermes`: JSON in tags, as Hermes, Qwen 2.5 and Qwen 3 write it."""

from agentgym.renderers.calls import (
    Found,
    Schemas,
    Syntax,
    blocks,
    dump,
    found,
    read_arguments,
    read_json_call,
)
from agentgym.types import ToolCall


class Hermes(Syntax):
    """Calls as <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>."""

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every block."""
        outside, inside = blocks(text, "<tool_call>", "</tool_call>")
        return found(outside, map(read_json_call, inside))

    def write(self, call: ToolCall) -> str:
        """Write a block."""
        arguments = read_arguments(call)
        named = {"name": call.name, "arguments": arguments}
        text = call.arguments if arguments is None else dump(named)
        return f"<tool_call>\n{text}\n</tool_call>"
