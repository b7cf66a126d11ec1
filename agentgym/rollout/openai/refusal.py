"""What an answer other than 200 means: try again, end the episode, or stop the run."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from agentgym.rollout.openai.answer import whole_characters

_SHOWN_CHARS = 300
_AGAIN = (408, 409, 425, 429)
_NO_MONEY = re.compile(
    r"insufficient.?(quota|balance|credits|funds)|exceeded.current.quota", re.IGNORECASE
)
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|max_model_len|reduce the length|"
    r"(prompt|input|request)( is)? too (long|large)|too many (input |prompt )?tokens",
    re.IGNORECASE,
)
_LENGTHS = re.compile(
    r"maximum context length (?:is|of) (?P<context>[0-9]{1,9}) tokens.*?\b(?P<prompt>[0-9]{1,9}) "
    r"(?:input tokens|tokens from the input|in the messages|in the prompt|of text input)",
    re.IGNORECASE,
)
_MAX_TOKENS = re.compile(r"max_(completion_)?tokens\W+(is )?too (large|high|big)", re.IGNORECASE)
_FILTERED = re.compile(r"content.?(filter|policy)|responsible.?ai", re.IGNORECASE)


class Refusal(NamedTuple):
    """An answer other than 200."""

    status: int
    text: str
    """What the server says, on one line."""
    kind: str
    """The server's own name for it, where it has one."""

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return (self.status in _AGAIN or self.status >= 500) and not self.is_no_money

    @property
    def is_no_money(self) -> bool:
        """Whether the account has nothing left.

        Of the text nothing is believed: some speak of quota and billing when they mean a minute.
        """
        return self.status == 402 or (self.status == 429 and bool(_NO_MONEY.search(self.kind)))

    @property
    def is_too_long(self) -> bool:
        """Whether the conversation exceeds the model's context."""
        said = _TOO_LONG.search(f"{self.kind} {self.text}") is not None
        return self.status == 413 or (self.status in (400, 422, 500) and said)

    @property
    def is_of_max_tokens(self) -> bool:
        """Whether the conversation alone would fit, but not with as many tokens as are asked for."""
        if self.status not in (400, 422, 500):
            return False
        lengths = _LENGTHS.search(self.text)
        if lengths:
            return int(lengths["prompt"]) < int(lengths["context"])
        return _MAX_TOKENS.search(self.text) is not None

    @property
    def is_filtered(self) -> bool:
        """Whether the provider will not have this conversation."""
        return self.status in (400, 403) and bool(_FILTERED.search(f"{self.kind} {self.text}"))

    @property
    def may_be_of_arguments(self) -> bool:
        """Whether it may come from broken arguments in the conversation."""
        return self.status in (400, 422, 500) and not self.is_too_long

    def __str__(self) -> str:
        return f"status {self.status}: {self.text}" if self.text else f"status {self.status}"


def read_refusal(status: int, body: bytes, *, hide: Callable[[str], str]) -> Refusal:
    """Take apart what a server says: OpenAI's shape, others' shapes, HTML, or text.

    `hide` takes secrets out of it.
    """
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        said, source = _message(found), _source(found)
        return Refusal(status, _one_line(hide(said)), _one_line(hide(_kind(source))))
    except (ValueError, RecursionError):
        return Refusal(status, _one_line(hide(_of_page(text))), "")


def _message(found: Any) -> str:
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _source(found: Any) -> Any:
    """Return what has `code` and `type`: the error inside, or all of it."""
    inner = found.get("error") if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else found


def _kind(source: Any) -> str:
    names = (source.get("code"), source.get("type")) if isinstance(source, dict) else ()
    return " ".join(name for name in names if isinstance(name, str))


def _of_page(text: str) -> str:
    """Return the title of an HTML page, else the text."""
    title = re.search(r"<title[^>]*>([^<]{1,200})", text[:10_000], re.IGNORECASE)
    return title[1] if title else text


def _one_line(text: str) -> str:
    flat = whole_characters(" ".join(text[: 4 * _SHOWN_CHARS].split()))
    return flat if len(flat) <= _SHOWN_CHARS else flat[: _SHOWN_CHARS - 1] + "…"
