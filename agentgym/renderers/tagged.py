"""What the syntaxes with a tag for every argument share; `xml.py` and `glm.py` are such."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentgym.renderers.calls import (
    Found,
    Schemas,
    Syntax,
    Written,
    dump,
    found,
    read_arguments,
    typed,
)
from agentgym.types import ToolCall

_LONGEST_NAME = 256  # more is no name, and looking for its end in all that follows takes long


@dataclass(frozen=True, kw_only=True)
class Tagged(Syntax):
    """Calls of the form <function=NAME><parameter=KEY>VALUE</parameter></function>.

    Values are bare text; those that a schema does not call strings are read as JSON.
    """

    call: tuple[str, str, str]
    """What stands before the name, behind it, and at the end."""
    argument: tuple[str, str, str]
    """What stands before a key, between key and value, and behind the value."""
    wrap: str = ""
    """What surrounds every value."""
    around: tuple[str, str] = ("", "")
    """What surrounds calls, and says nothing."""

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every call."""
        outside, written = [], []
        place, closing = 0, self.call[2]
        for start, name, behind in _named(text, self.call):
            if start < place:
                continue
            stop = text.find(closing, behind)
            stop = len(text) if stop < 0 else stop
            outside.append(text[place:start])
            written.append(self.written(name, text[behind:stop], schemas))
            place = stop + len(closing)
        if not written:
            return Found(text, ())
        content = "".join([*outside, text[place:]])
        for tag in map(str.strip, filter(None, self.around)):
            content = content.replace(tag, "")
        return found(content, written)

    def write(self, call: ToolCall) -> str:
        """Write a call."""
        arguments = read_arguments(call)
        body = (
            call.arguments if arguments is None else "".join(map(self._argument, arguments.items()))
        )
        before, behind, end = self.call
        return f"{self.around[0]}{before}{call.name}{behind}{self.wrap}{body}{end}{self.around[1]}"

    def _argument(self, item: tuple[str, Any]) -> str:
        key, value = item
        before, between, end = self.argument
        text = value if isinstance(value, str) else dump(value)
        return f"{before}{key}{between}{self.wrap}{text}{self.wrap}{end}"

    def written(self, name: str, body: str, schemas: Schemas) -> Written:
        """Read the arguments between the tags of a call; anything else there is no call."""
        properties = schemas.get(name, {}).get("properties", {})
        arguments, left, place = {}, [], 0
        end = self.argument[2]
        for start, key, behind in _named(body, self.argument):
            if start < place:
                continue
            stop = body.find(end, behind)
            if stop < 0:
                break
            left.append(body[place:start])
            value = body[behind:stop].removeprefix(self.wrap).removesuffix(self.wrap)
            arguments[key] = typed(value, properties.get(key, {}))
            place = stop + len(end)
        if "".join([*left, body[place:]]).strip():
            return name, body
        return name, dump(arguments)


def _named(text: str, tags: tuple[str, str, str]) -> Iterator[tuple[int, str, int]]:
    """Yield where each tag begins, the name in it, and the place behind it."""
    before, behind, _ = tags
    start = text.find(before)
    while start >= 0:
        first = start + len(before)
        stop = text.find(behind, first, first + _LONGEST_NAME)
        name = text[first:stop].strip() if stop >= 0 else "\n"
        if "\n" not in name:
            yield start, name, stop + len(behind)
        start = text.find(before, first)
