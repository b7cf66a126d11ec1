"""The syntax `deepseek`: JSON between tokens of control, as DeepSeek V3, R1 and V3.1 write it."""

from agentgym.renderers.calls import Found, Schemas, Syntax, Written, blocks, dump, found, load
from agentgym.types import ToolCall


def _token(words: str) -> str:
    """Return a token of control; bars and spaces in them are not those of ASCII."""
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


_CALLS = (_token("tool calls begin"), _token("tool calls end"))
_CALL = (_token("tool call begin"), _token("tool call end"))
_BETWEEN = _token("tool sep")
_FENCE = "```"


class DeepSeek(Syntax):
    """A kind, a token and the name, and fenced JSON; or (V3.1) the name, a token and bare JSON."""

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every block."""
        outside, inside = blocks(text, *_CALL)
        if inside:
            for token in _CALLS:
                outside = outside.replace(token, "")
        return found(outside, map(_read, inside))

    def write(self, call: ToolCall) -> str:
        """Write a block as V3 does."""
        body = f"function{_BETWEEN}{call.name}\n{_FENCE}json\n{call.arguments or '{}'}\n{_FENCE}"
        return f"{_CALLS[0]}{_CALL[0]}{body}{_CALL[1]}{_CALLS[1]}"


def _read(block: str) -> Written:
    before, _, behind = block.partition(_BETWEEN)
    name, fence, text = behind.partition(_FENCE)
    if fence and not name.lstrip().startswith("{"):
        text = text.removeprefix("json").rstrip().removesuffix(_FENCE)
    else:
        name, text = before, behind
    value = load(text)
    return name.strip(), dump(value) if isinstance(value, dict) else text.strip()
