"""A vocabulary of a few hundred words, and the tokenizer of a run that spells with it."""

import json
from itertools import product
from pathlib import Path

_STARTS = ("", "re", "un", "pre", "over", "out", "mis", "sub")
_MIDDLES = ("look", "open", "turn", "read", "move", "take", "lock", "light", "walk", "call")
_ENDS = ("", "s", "ed", "ing", "er")

PIECES = tuple(f" {''.join(parts)}" for parts in product(_STARTS, _MIDDLES, _ENDS))
"""The text of each token, by its id."""


def write_tokenizer(root: Path) -> None:
    """Write the tokenizer of a run, as the package tokenizers reads it."""
    folder = root / "model"
    folder.mkdir()
    description = {
        "version": "1.0",
        "added_tokens": [],
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {piece: token for token, piece in enumerate(PIECES)},
            "unk_token": PIECES[0],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(description))
