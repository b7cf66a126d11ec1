"""Whether two sides mean the same by a token id."""

import hashlib
import json
from typing import NamedTuple

from agentgym.engine import Loaded
from agentgym.errors import ConfigError


class Vocabulary(NamedTuple):
    """The ids of a model."""

    size: int
    """Ids that the model can give; more than the tokenizer has where it is padded."""
    digest: str
    """Of the tokenizer's tokens and their ids."""


def vocabulary_of(loaded: Loaded) -> Vocabulary:
    """Return the vocabulary of a model, without reading its weights.

    Raises:
        ConfigError: its config.json does not tell the size.
    """
    tokens = sorted(loaded.tokenizer.get_vocab().items())
    digest = hashlib.sha256(json.dumps(tokens).encode()).hexdigest()
    return Vocabulary(_size(loaded), digest)


def _size(loaded: Loaded) -> int:
    from transformers import AutoConfig

    shape = AutoConfig.from_pretrained(loaded.folder, local_files_only=True)
    size = getattr(shape.get_text_config(), "vocab_size", None)
    if not isinstance(size, int) or size < 1:
        raise ConfigError(
            f"{str(loaded.folder / 'config.json')!r} has vocab_size {size!r}",
            hint="it must be that of a causal language model",
        )
    return size
