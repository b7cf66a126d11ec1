"""The syntax `harmony`: an answer of several messages, each in a channel, as gpt-oss writes it."""

import re

from agentgym.renderers.calls import Found, Schemas, Syntax, Written, dump, found, load
from agentgym.types import ToolCall

_NEXT = "<|start|>assistant"
_CHANNEL, _BODY = "<|channel|>", "<|message|>"
_END = "<|end|>"
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]{1,256})")


class Harmony(Syntax):
    """Thoughts in the channel `analysis`, calls as messages to functions, and the rest as text."""

    thoughts = "field"  # its content is never a thought

    def read(self, text: str, schemas: Schemas) -> Found:
        """Read every message; a text without any is the content."""
        if _BODY not in text:
            return Found(text, ())
        thoughts, words, calls = [], [], []
        for part in text.split(_NEXT):
            head, has_body, body = part.partition(_BODY)
            body = (body if has_body else head).removesuffix(_END)
            if has_body and (recipient := _RECIPIENT.search(head)):
                calls.append(_written(recipient[1], body))
            elif f"{_CHANNEL}analysis" in head:
                thoughts.append(body)
            else:
                words.append(body)
        content = "\n\n".join(words)
        if thoughts:
            thought = "\n\n".join(each.strip() for each in thoughts)
            content = f"<think>\n{thought}\n</think>\n\n{content}"
        return found(content, calls)

    def write(self, call: ToolCall) -> str:
        """Write a message to a function."""
        head = f" to=functions.{call.name}{_CHANNEL}commentary json"
        return f"{_END}{_NEXT}{head}{_BODY}{call.arguments or '{}'}"


def _written(name: str, body: str) -> Written:
    value = load(body)
    return name, dump(value) if isinstance(value, dict) else body.strip()
