"""The syntax `llama`: bare JSON with `parameters`, as Llama 3.1, 3.2 and 3.3 write it."""

import re

from agentgym.renderers.calls import (
    DECODER,
    Found,
    Schemas,
    Syntax,
    dump,
    found,
    is_shallow,
    read_arguments,
    written,
)
from agentgym.types import ToolCall

_TAG = "<|python_tag|>"
_START = re.compile(r'\{\s*"name"\s*:')


class Llama(Syntax):
    """Calls as {"name": "add", "parameters": {"a": 1}}; <|python_tag|> may stand before them.

    Nothing ends a call that cannot be read: all that follows belongs to it.
    """

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every object that begins with a name."""
        outside, calls, place = [], [], 0
        while start := _START.search(text, place):
            outside.append(text[place : start.start()])
            try:
                call, stop = DECODER.raw_decode(text, start.start())
            except (ValueError, RecursionError):
                call, stop = None, len(text)
            raw = text[start.start() : stop]
            calls.append(written(call if is_shallow(call) else None, raw, arguments="parameters"))
            place = stop
        if not calls:
            return Found(text, ())
        content = "".join(each for each in [*outside, text[place:]] if each.strip() != ";")
        return found(content.replace(_TAG, ""), calls)

    def write(self, call: ToolCall) -> str:
        """Write an object."""
        arguments = read_arguments(call)
        if arguments is None:
            return call.arguments
        return dump({"name": call.name, "parameters": arguments})
