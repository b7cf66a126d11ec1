"""The renderer `chat`: any Hugging Face chat template that only ever appends."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from agentgym.errors import ConfigError, PolicyError, boundary
from agentgym.renderer import Renderer, RendererConfig
from agentgym.renderers.calls import (
    Syntax,
    dump,
    parse_hermes,
    parse_xml,
    raw_text,
    read_arguments,
)
from agentgym.types import Message, ToolCall, ToolSpec

_ESCAPE = "\U000f0000"  # private use: introduces a character that stands for a control token
_SURROGATES = "\ud800-\udfff"  # half characters, which no tokenizer takes
_MARK = "Marker"
_USER = Message("user", "Question")
_ANSWER = Message("assistant", _MARK)
_CALL = Message("assistant", tool_calls=(ToolCall("f", '{"x": "Marker"}', "call_0"),))


class ChatRendererConfig(RendererConfig):
    """The chat template of the model, or another one."""

    name: Literal["chat"] = "chat"
    template: str | None = None
    """A Jinja file that replaces the chat template of the tokenizer; null: the tokenizer's own."""
    calls: Literal["auto", "hermes", "xml"] = "auto"
    """How calls of tools are written; auto: as the template writes them."""

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

    What follows a completion is rendered as the difference between two short conversations, so
    that a stream of tokens only grows. The text of messages can never become a control token.
    Tool calls are read as `hermes` (JSON in <tool_call>) or `xml` (<function=...>), whichever
    the template writes; bare values are typed by the tools last given to `prompt`.

    Raises:
        ConfigError: the template rewrites history, or a turn has no end of its own.
    """

    def __init__(self, tokenizer: Any, *, calls: Literal["auto"] | Syntax = "auto") -> None:
        self._tokenizer = tokenizer
        self._size = len(tokenizer)
        self._syntax: Syntax | None = None
        self._wrap = ""
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._added = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()}
        self._set_control([])
        self._stop = self._find_stop()
        self._stop_text = self._added[self._stop]
        ends = [self._stop, tokenizer.eos_token_id]
        self.stop_token_ids = tuple(dict.fromkeys(end for end in ends if end is not None))
        self._set_control(self._structure())
        self._start = self._render([_USER], generate=True)
        self._check_history()
        self._syntax, self._wrap = self._find_syntax()
        if calls != "auto":
            self._syntax = calls
        # Members of a group ask for the same prompt, and environments often answer the same.
        self._prompt_ids = lru_cache(maxsize=256)(self._render_prompt)
        self._extend_ids = lru_cache(maxsize=4096)(self._render_extension)
        self._base = lru_cache(maxsize=16)(self._render_base)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """Render a conversation; tools are shown if the template shows them."""
        if tools and self._syntax is None:
            raise ConfigError(
                "the chat template writes no tool calls that can be read back",
                hint="use a template that writes <tool_call> with JSON, or <function=...>",
            )
        self._schemas |= {tool.name: tool.parameters for tool in tools}
        return list(self._prompt_ids(tuple(messages), dump([tool.to_openai() for tool in tools])))

    def extend(self, messages: Sequence[Message], *, stopped: bool) -> list[int]:
        """Render what follows a completion."""
        ids = list(self._extend_ids(tuple(messages)))
        return ids if stopped else [self._stop, *ids]

    def complete(self, message: Message) -> list[int]:
        """Render an answer with its stop token."""
        text = self._until_stop(self._render([_USER, message]))
        return self._encode(text[len(self._start) :])

    def parse(self, token_ids: Sequence[int]) -> Message:
        """Read a completion; tokens of control inside it are shown as text."""
        ids = token_ids[:-1] if token_ids and token_ids[-1] in self.stop_token_ids else token_ids
        text = self.decode(ids)
        if self._syntax == "xml":
            content, calls = parse_xml(text, wrap=self._wrap, schemas=self._schemas)
        elif self._syntax == "hermes":
            content, calls = parse_hermes(text)
        else:
            content, calls = text, ()
        return Message("assistant", content, calls)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text; ids that no token has are left out."""
        known = [index for index in token_ids if 0 <= index < self._size]
        text = self._tokenizer.decode(
            known, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    # Text to tokens

    def _render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Any] = (),
        generate: bool = False,
    ) -> str:
        with boundary(PolicyError, "the chat template"):
            text = self._tokenizer.apply_chat_template(
                [self._plain(message) for message in messages],
                tools=self._quote(tools) or None,
                add_generation_prompt=generate,
                tokenize=False,
            )
        return str(text)

    def _plain(self, message: Message) -> dict[str, Any]:
        """Return what templates expect: arguments as objects, unreadable calls as content."""
        plain = message.to_openai()
        readable = [(call, read_arguments(call)) for call in message.tool_calls]
        plain["content"] += "".join(
            raw_text(call, self._syntax) for call, arguments in readable if arguments is None
        )
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments},
            }
            for call, arguments in readable
            if arguments is not None
        ]
        plain.pop("tool_calls", None)
        if calls:
            plain["tool_calls"] = calls
        quoted: dict[str, Any] = self._quote(plain)
        return quoted

    def _quote(self, value: Any) -> Any:
        """Replace the text of control tokens in all strings by two private characters."""
        if isinstance(value, str):
            return self._control.sub(self._code, value)
        if isinstance(value, Mapping):
            return {self._quote(key): self._quote(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._quote(item) for item in value]
        return value

    def _code(self, match: re.Match[str]) -> str:
        text = match[0]
        if text not in self._codes:
            return "\N{REPLACEMENT CHARACTER}"
        return _ESCAPE + self._codes[text]

    def _encode(self, text: str) -> list[int]:
        """Turn rendered text into tokens; what was quoted becomes plain text."""
        pieces = re.split(f"{_ESCAPE}(.)", text, flags=re.DOTALL)
        ids = self._tokens(pieces[0])
        for code, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            control = self._controls[code]
            # Cut in two, no token of control can be recognised in it.
            ids += self._tokens(control[:1]) + self._tokens(control[1:]) + self._tokens(piece)
        return ids

    def _tokens(self, text: str) -> list[int]:
        if not text:
            return []
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _set_control(self, tokens: Sequence[str]) -> None:
        tokens = [_ESCAPE, *sorted(tokens, key=len, reverse=True)]
        self._codes = {token: chr(ord(_ESCAPE) + index) for index, token in enumerate(tokens)}
        self._controls = {code: token for token, code in self._codes.items()}
        alternatives = "|".join(re.escape(token) for token in tokens)
        self._control = re.compile(f"{alternatives}|[{_SURROGATES}]")

    # Conversations

    def _render_prompt(self, messages: tuple[Message, ...], tools: str) -> tuple[int, ...]:
        text = self._render(messages, tools=json.loads(tools), generate=True)
        return tuple(self._encode(text))

    def _render_extension(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        calls = tuple(
            ToolCall("f", "{}", message.tool_call_id or "call_0")
            for message in messages
            if message.role == "tool"
        )
        base, start = self._base(calls)
        text = self._render([*base, *messages], generate=True)
        if not text.startswith(start):
            raise ConfigError("the chat template changes an answer when messages follow it")
        return tuple(self._encode(text[len(start) :]))

    def _render_base(self, calls: tuple[ToolCall, ...]) -> tuple[tuple[Message, ...], str]:
        """Return a short conversation and its text up to the stop token of the answer."""
        base = (_USER, Message("assistant", _MARK, calls))
        return base, self._until_stop(self._render(base))

    def _until_stop(self, text: str) -> str:
        return text[: text.rfind(self._stop_text) + len(self._stop_text)]

    # What the template is like

    def _find_stop(self) -> int:
        """Return the token that ends an assistant's turn."""
        text = self._render([_USER, _ANSWER])
        ids = self._tokens(text[text.rfind(_MARK) + len(_MARK) :])
        if not ids or ids[0] not in self._added:
            raise ConfigError(
                "the chat template does not end an assistant's turn with a token of its own",
                hint="use a template that writes such a token, as <|im_end|>, after each answer",
            )
        return ids[0]

    def _structure(self) -> list[str]:
        """Return the texts that must not come from messages: special or used between them."""
        used = set(self._tokens(self._render([_USER, _ANSWER, _USER], generate=True)))
        special = {
            index for index, token in self._tokenizer.added_tokens_decoder.items() if token.special
        }
        return [text for index, text in self._added.items() if index in used | special]

    def _check_history(self) -> None:
        """Raise ConfigError unless each rendering begins with the one before it."""
        thought = Message("assistant", f"<think>\nPlan\n</think>\n\n{_MARK}")
        turns = [_USER, thought, _USER, _ANSWER]
        before = ""
        for count in range(1, len(turns) + 1):
            generate = turns[count - 1].role == "user"
            text = self._render(turns[:count], generate=generate)
            if not text.startswith(before) or (count > 1 and "Plan" not in text):
                raise ConfigError(
                    "the chat template rewrites what was said before, so that a conversation "
                    "cannot grow by appending",
                    hint="set a chat template that keeps whole answers, their thinking included",
                )
            before = text if generate else self._until_stop(text)

    def _find_syntax(self) -> tuple[Syntax | None, str]:
        """Return how the template writes calls, and what surrounds bare values."""
        try:
            text = self._render([_USER, _CALL])
        except PolicyError:
            return None, ""
        if "<function=f>" in text:
            return "xml", "\n" if f"\n{_MARK}\n" in text else ""
        return ("hermes" if "<tool_call>" in text else None), ""
