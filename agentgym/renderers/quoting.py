"""What others say can never become a token of control: it is cut where it would."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

MARK = "\ufdd0"
"""Where text is cut. Unicode keeps this number for the inside of programs: no text has it."""

_UNTAKEN = re.compile(f"[\ud800-\udfff{MARK}]")


class Quoting:
    """Cuts text where a token of control begins, and makes tokens of what was cut.

    A cut stands behind the first character, so that neither half is the token, whatever a
    template writes around it. Halves of characters, which no tokenizer takes, and the mark itself
    become U+FFFD.
    """

    def __init__(self, tokenizer: Any, control: Collection[str]) -> None:
        """`control` are the texts of tokens that must not come from messages."""
        self._tokenizer = tokenizer
        heads: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for token in control:
            heads[token[:2]] += (token,)
        self._heads = dict(heads)
        # Tokens that are told by their first two characters are few, of thousands.
        starts = "|".join(map(re.escape, self._heads)) or "(?!)"
        self._start = re.compile(f"(?=({starts}))(.)", re.DOTALL)
        self._normalizer = _normalizer(tokenizer, set(control))

    def quote(self, value: Any) -> Any:
        """Cut all strings in a value, keys too."""
        if isinstance(value, str):
            text = value if value.isascii() else _UNTAKEN.sub("\N{REPLACEMENT CHARACTER}", value)
            cut = self._start.sub(self._cut, text)
            return MARK.join(text) if self._becomes_control(cut) else cut
        if isinstance(value, Mapping):
            return {self.quote(key): self.quote(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.quote(item) for item in value]
        return value

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, each side of a cut by itself."""
        ids: list[int] = []
        for piece in text.split(MARK):
            if piece:
                ids += self._tokenizer.encode(piece, add_special_tokens=False)
        return ids

    def _becomes_control(self, cut: str) -> bool:
        """Return whether the tokenizer makes other text a token of control, as of wide letters."""
        if self._normalizer is None:
            return False
        pieces = map(self._normalizer.normalize_str, cut.split(MARK))
        return any(MARK in self._start.sub(self._cut, piece) for piece in pieces)

    def _cut(self, match: re.Match[str]) -> str:
        tokens = self._heads[match[1]]
        is_control = match.string.startswith(tokens, match.start())
        return match[2] + MARK if is_control else match[2]


def _normalizer(tokenizer: Any, control: Collection[str]) -> Any:
    """Return what a tokenizer does to text before it looks for tokens of control; None: nothing."""
    if not control:
        return None
    added = tokenizer.added_tokens_decoder.values()
    if not any(getattr(token, "normalized", False) and str(token) in control for token in added):
        return None
    return getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)


def behind(text: str, said: str) -> str | None:
    """Return what stands in a text with marks behind one without; None: it begins otherwise.

    >>> behind(f"<{MARK}|end|> and so", "<|end|>")
    ' and so'
    """
    place, rest = 0, said
    for piece in text.split(MARK):
        if len(rest) <= len(piece):
            return text[place + len(rest) :] if piece.startswith(rest) else None
        if not rest.startswith(piece):
            return None
        rest, place = rest[len(piece) :], place + len(piece) + len(MARK)
    return None
