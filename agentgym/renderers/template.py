"""A chat template that is asked in the form that it takes: messages in, text out."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from agentgym.errors import PolicyError, boundary
from agentgym.renderers.calls import Syntax, dump, read_arguments
from agentgym.renderers.form import Form, to_plain
from agentgym.renderers.quoting import Quoting
from agentgym.types import Message, ToolCall

_THINKING = ("<think>", "</think>")  # what an assistant says of its own


class Template:
    """Renders conversations; the text of messages is cut where it would be a token of control."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        form: Form,
        syntax: Syntax | None,
        control: Sequence[str] = (),
    ) -> None:
        """`control` are the texts of tokens that must not come from messages."""
        self.form = form
        self.syntax = syntax
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder  # made anew each time it is asked for
        self._added = {index: str(token) for index, token in added.items()}
        self._special = {index for index, token in added.items() if token.special}
        self._quote_with(control)

    def altered(
        self, *, form: Form, syntax: Syntax | None, control: Sequence[str] = ()
    ) -> "Template":
        """Return the same template, asked in another form."""
        other = copy(self)
        other.form, other.syntax = form, syntax
        other._quote_with(control)
        return other

    def _quote_with(self, control: Sequence[str]) -> None:
        self._quoting = Quoting(self._tokenizer, control)
        speech = [token for token in control if token not in _THINKING]
        self._speech = Quoting(self._tokenizer, speech)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] = (),
        generate: bool = False,
    ) -> str:
        """Return the text of a conversation, with marks where it was cut.

        `tools` are in the form of OpenAI.

        Raises:
            PolicyError: the template refuses it.
        """
        plain = to_plain([self._quoted(each) for each in messages], self.form, self.syntax)
        with boundary(PolicyError, "the chat template"):
            text = self._tokenizer.apply_chat_template(
                plain,
                tools=self._quoting.quote(tools) or None,
                add_generation_prompt=generate,
                tokenize=False,
            )
        return str(text)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of what was rendered."""
        return self._quoting.encode(text)

    def beyond(self, text: str, other: str) -> str:
        """Return what of a text follows the tokens that both begin with."""
        if text.startswith(other):
            return text[len(other) :]
        pairs = enumerate(zip(ids := self.encode(text), self.encode(other), strict=False))
        same = next((place for place, (a, b) in pairs if a != b), len(ids))
        return str(self._tokenizer.decode(ids[same:], clean_up_tokenization_spaces=False))

    def controls_at_end(self, text: str) -> list[str]:
        """Return the tokens of control that end a text, the last one first."""
        found: list[str] = []
        for index in reversed(self.encode(text)):
            if index in self._added:
                found.append(self._added[index])
            elif self._tokenizer.decode([index]).strip():
                break
        return found

    def controls_in(self, text: str) -> list[str]:
        """Return the tokens of control in a text, and all special ones there are.

        Blank ones are none, and one character cannot be cut.
        """
        used = set(self.encode(text))
        return [
            token
            for index, token in self._added.items()
            if (index in used or index in self._special) and len(token) > 1 and not token.isspace()
        ]

    def control_at_start(self, text: str) -> str | None:
        """Return the token of control that a text begins with, spaces apart."""
        first = next(iter(self.encode(text.lstrip())), None)
        return None if first is None else self._added.get(first)

    def quote_speech(self, text: str) -> str:
        """Cut a text of the assistant."""
        quoted: str = self._speech.quote(text)
        return quoted

    def _quoted(self, message: Message) -> Message:
        if message.role != "assistant":
            return replace(message, content=self._quoting.quote(message.content))
        calls = tuple(map(self._quoted_call, message.tool_calls))
        return replace(message, content=self.quote_speech(message.content), tool_calls=calls)

    def _quoted_call(self, call: ToolCall) -> ToolCall:
        arguments = read_arguments(call)
        quote = self._quoting.quote
        text = quote(call.arguments) if arguments is None else dump(quote(arguments))
        return ToolCall(quote(call.name), text, quote(call.id))
