"""Whether two sides speak of the same model: what its token ids mean, and which weights it has."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from agentgym.engine import Loaded
from agentgym.errors import ConfigError

_KINDS = ("*.safetensors", "pytorch_model*.bin")
_SAMPLE = 1 << 20  # bytes that are read at the beginning and the end of a file


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


def fingerprint(folder: Path) -> str:
    """Return a digest of a model's weights: of both ends of each file, and its length.

    Training changes all numbers, so that two files with the same ends are the same.
    """
    found = hashlib.sha256()
    for file in weight_files(folder):
        size = file.stat().st_size
        found.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            found.update(opened.read(_SAMPLE))
            opened.seek(max(0, size - _SAMPLE))
            found.update(opened.read(_SAMPLE))
    return found.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """Return the files with a model's weights."""
    return sorted(file for kind in _KINDS for file in folder.glob(kind))


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
