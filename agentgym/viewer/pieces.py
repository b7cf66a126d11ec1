"""The text of each token, decoded from the recorded ids by the run's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from agentgym.errors import StoreError, boundary

MOST = 4096
"""Tokens of one answer."""

_FILE = "tokenizer.json"
_BEFORE = 8  # tokens of context: more than the bytes of a character, and than a decoder looks back
_BROKEN = "\ufffd"  # what decoders put for the bytes of a character that is not complete


class TokenizerError(StoreError):
    """Raised where recorded ids cannot become text; it says what is missing."""


class Pieces:
    """Decodes tokens one by one, as parts of the text that they make together."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._size = int(tokenizer.get_vocab_size(with_added_tokens=True))

    def of(
        self, token_ids: Sequence[int] | NDArray[Any], *, first: int, stop: int
    ) -> list[str | None]:
        """Return the text of the tokens `first` to before `stop`; None: no token of this tokenizer.

        A character made by several tokens belongs to the last of them, so that the pieces of a
        stream, put together, are its text.
        """
        base = max(0, first - _BEFORE)
        ids = [int(each) for each in token_ids[base:stop]]
        known = [0 <= each < self._size for each in ids]
        places = range(first - base, len(ids))
        windows = [_window(ids, known, at) for at in places]
        before = self._decoded([window[:-1] for window in windows])
        after = self._decoded(windows)
        pieces: list[str | None] = []
        for at, old, new in zip(places, before, after, strict=True):
            is_last = base + at == len(token_ids) - 1
            whole = new if is_last else new.rstrip(_BROKEN)
            pieces.append(whole[len(old.rstrip(_BROKEN)) :] if known[at] else None)
        return pieces

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; names of special tokens in it are those tokens."""
        with boundary(StoreError, "tokenising text"):
            found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
            return found

    def _decoded(self, windows: list[list[int]]) -> list[str]:
        with boundary(StoreError, "decoding recorded tokens"):
            found: list[str] = self._tokenizer.decode_batch(windows, skip_special_tokens=False)
            return found


def open_pieces(root: Path) -> Pieces:
    """Read the tokenizer of a run, that of its newest checkpoint or of the model it began with.

    Raises:
        TokenizerError: there is none, it is broken, or the package tokenizers is missing.
    """
    folders = [*sorted((root / "checkpoints").glob("[0-9]*"), reverse=True), root / "model"]
    path = next((each / _FILE for each in folders if (each / _FILE).is_file()), None)
    if path is None:
        raise TokenizerError(f"no checkpoint of the run has a {_FILE}")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        hint = "pip install tokenizers"
        raise TokenizerError("decoding tokens needs the package tokenizers", hint=hint) from None
    with boundary(TokenizerError, f"reading {path}"):
        return Pieces(Tokenizer.from_file(str(path)))


def _window(token_ids: Sequence[int], known: Sequence[bool], at: int) -> list[int]:
    """Return a token with those before it, without those that nobody knows."""
    start = max(0, at - _BEFORE)
    inside = [token_ids[place] for place in range(start, at + 1) if known[place]]
    return inside if known[at] else [*inside, *inside[-1:]]
