"""The renderer `chat`: the chat template of a tokenizer of Hugging Face."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, field_validator

from agentgym.errors import ConfigError, boundary
from agentgym.renderer import Renderer, RendererConfig
from agentgym.renderers.calls import dump
from agentgym.renderers.form import Form
from agentgym.renderers.habits import control_texts, find_habits
from agentgym.renderers.probe import find_form
from agentgym.renderers.stream import More, Stream, told
from agentgym.renderers.syntaxes import SYNTAXES
from agentgym.renderers.template import Template
from agentgym.types import Message, ToolSpec

_EMPTY_THOUGHT = re.compile(r"\s*<think>\s*</think>\s*")


def _known(name: str) -> str:
    if name != "auto" and name not in SYNTAXES:
        raise ValueError(f"should be auto, {', '.join(SYNTAXES)}")
    return name


class ChatRendererConfig(RendererConfig):
    """The chat template of the model, or another one."""

    name: Literal["chat"] = "chat"
    template: str | None = None
    """A Jinja file that replaces the chat template of the tokenizer; null: the tokenizer's own."""
    calls: Annotated[str, AfterValidator(_known)] = "auto"
    """How calls of tools are written, a name of the table in docs/renderers.md; auto: as the
    template writes them. What a template does not write itself is written as text."""

    @field_validator("template")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        """Make a path absolute, so that a run resumes from any folder."""
        return path and str(Path(path).expanduser().resolve())

    def build(self, tokenizer: Any) -> "ChatRenderer":
        """Make the renderer; the tokenizer is given the template, and is saved with it.

        Raises:
            ConfigError: there is no template, or one that cannot be used.
        """
        if self.template is not None:
            with boundary(ConfigError, f"reading the chat template {self.template}"):
                tokenizer.chat_template = Path(self.template).read_text("utf-8")
        if not tokenizer.chat_template:
            raise ConfigError(
                "the tokenizer has no chat template",
                hint="put a chat_template.jinja beside it, name a file by renderer.template, "
                "or use the instruct version of the model",
            )
        return ChatRenderer(tokenizer, calls=self.calls)


class ChatRenderer(Renderer):
    """Renders with a tokenizer's chat template and reads tool calls back.

    What the template is like is found by asking it, once: in which form it takes messages, how
    it writes calls, how answers end, and whether it leaves what was said as it is when more is
    said. Where it does, what follows a completion is rendered as the difference between two short
    conversations. Otherwise every extension is checked against the whole conversation, rendered
    before and after; it is None where the template rewrites it.

    The text of messages can never become a token of control. Bare values of calls are typed by
    the tools last given to `prompt`.

    Raises:
        ConfigError: the template cannot be used: no token ends an answer, say.
    """

    def __init__(self, tokenizer: Any, *, calls: str = "auto") -> None:
        self._tokenizer = tokenizer
        self._size = len(tokenizer)
        self._schemas: dict[str, Mapping[str, Any]] = {}
        syntaxes = SYNTAXES if calls == "auto" else {calls: SYNTAXES[calls]}
        plain = Template(tokenizer, form=Form(), syntax=None)
        form, name = find_form(plain, syntaxes)
        self.calls = name if calls == "auto" else calls
        """The name of the syntax of calls; None: there is none that is understood."""
        self._syntax = SYNTAXES[self.calls] if self.calls else None
        plain = plain.altered(form=form, syntax=self._syntax)
        habits = find_habits(plain)
        self._template = plain.altered(form=form, syntax=self._syntax, control=control_texts(plain))
        self._stream = Stream(self._template, habits)
        self.appends = self._stream.appends
        """What is appended without rendering the conversation again."""
        self._may_be_empty = habits.writes_empty_thoughts or habits.begins_thought
        self._thought_begins = habits.opening if habits.begins_thought else ""
        self._ids = {str(token): n for n, token in tokenizer.added_tokens_decoder.items()}
        ends = [
            *(self._ids[end.token] for end in (habits.answer, habits.call)),
            tokenizer.eos_token_id,
        ]
        self.stop_token_ids = tuple(dict.fromkeys(end for end in ends if end is not None))
        # Members of a group ask for the same prompt, and environments often answer the same.
        self._prompt_ids = lru_cache(maxsize=256)(self._render_prompt)
        self._more_ids = lru_cache(maxsize=4096)(self._render_more)

    def describe(self) -> str:
        """Return what the template was found to be like."""
        written = "" if self._template.form.takes_calls or not self.calls else " as text"
        return f"template appends {self.appends}; calls: {self.calls or 'none'}{written}"

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """Render a conversation; tools are shown if the template shows them."""
        if tools and self._syntax is None:
            raise ConfigError(
                "the chat template writes no tool calls that can be read back",
                hint="use a template that does, or name a syntax by renderer.calls, such as "
                "hermes: calls are then plain text to the template",
            )
        self._schemas |= {tool.name: tool.parameters for tool in tools}
        return list(self._prompt_ids(tuple(messages), dump([tool.to_openai() for tool in tools])))

    def extend(
        self,
        token_ids: Sequence[int],
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        known: int,
    ) -> list[int] | None:
        """Render what follows a completion."""
        new = tuple(messages[known:])
        if self._stream.appends_to(new):
            more = self._more_ids(new, told(messages[known - 1], new))
        else:
            said, shown = self.decode(token_ids), [tool.to_openai() for tool in tools]
            more = self._ids_of(self._stream.more_of(said, messages, shown, known=known))
        if more is None:
            return None
        if more.end is None:
            return list(more.ids)
        last = token_ids[-1] if token_ids else None
        if last not in self.stop_token_ids:
            return [more.end, *more.ids]
        return list(more.ids) if more.is_own or last == more.end else None

    def complete(self, message: Message) -> list[int]:
        """Render an answer with its stop token."""
        return self._template.encode(self._stream.answer(message))

    def parse(self, token_ids: Sequence[int]) -> Message:
        """Read a completion; tokens of control inside it are shown as text."""
        ids = token_ids[:-1] if token_ids and token_ids[-1] in self.stop_token_ids else token_ids
        text = self.decode(ids)
        thought, end, _ = text.partition("</think>")
        if end and "<think>" not in thought:  # it was begun in the prompt
            text = self._thought_begins + text
        if self._may_be_empty and (empty := _EMPTY_THOUGHT.match(text)):
            text = text[empty.end() :]
        if self._syntax is None:
            return Message("assistant", text)
        return Message("assistant", *self._syntax.read(text, self._schemas))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text; ids that no token has are left out."""
        known = [index for index in token_ids if 0 <= index < self._size]
        text = self._tokenizer.decode(
            known, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    def _render_prompt(self, messages: tuple[Message, ...], tools: str) -> tuple[int, ...]:
        text = self._template.render(messages, tools=json.loads(tools), generate=True)
        return tuple(self._template.encode(text))

    def _render_more(self, new: tuple[Message, ...], names: tuple[str, ...]) -> "_More | None":
        return self._ids_of(self._stream.more(new, names))

    def _ids_of(self, more: More | None) -> "_More | None":
        if more is None:
            return None
        ids = tuple(self._template.encode(more.text))
        if more.end is None:
            return _More(None, False, ids)
        return _More(self._ids[more.end.token], more.end.is_own, ids)


class _More(NamedTuple):
    """What follows an answer, in tokens."""

    end: int | None
    is_own: bool
    ids: tuple[int, ...]
