"""A tokenizer in plain Python, and the same one as the files of a Hugging Face folder.

It has the chat template of the project's tiny models. Known words are single tokens, everything
else is spelled in bytes, so that a character may be cut in two.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentgym.engines.template import CHAT_TEMPLATE, END, PAD, special_tokens
from agentgym.types import ToolSpec

# Ranges in place of classes, which engines of regular expressions understand differently.
_LETTERS = "A-Za-z\u00c0-\u024f\u0370-\u03ff"
_PIECES = (
    rf"\n{{1,4}}[ \t]{{0,32}}| ?[{_LETTERS}_]{{1,24}}| ?[0-9]"
    rf"| ?[^ \t\r\n0-9{_LETTERS}_]{{1,4}}|[ \t\r\n]{{1,8}}"
)
_ASSISTANT = "<|assistant|>"


class _Special(str):
    """A token of control, as the tokenizers of transformers describe it."""

    special = True


class WordTokenizer:
    """What `ChatRenderer` asks of a tokenizer of transformers, and no more."""

    def __init__(self, words: Iterable[str], tools: Sequence[ToolSpec]) -> None:
        special = special_tokens(tools)
        pieces = [piece for word in words for piece in re.findall(_PIECES, word)]
        spelled = [*(bytes([byte]) for byte in range(256)), *(each.encode() for each in pieces)]
        self._special = {token: index for index, token in enumerate(special)}
        known = dict.fromkeys(spelled)
        self._ids = {word: index for index, word in enumerate(known, len(special))}
        self._texts = [*(token.encode() for token in special), *known]
        self._longest = max(map(len, known))
        ordered = sorted(special, key=len, reverse=True)
        self._control = re.compile(f"({'|'.join(map(re.escape, ordered))})")
        self.added_tokens_decoder = {i: _Special(token) for token, i in self._special.items()}
        self.eos_token_id = self._special[END]
        self._piece = lru_cache(maxsize=1 << 16)(self._longest_matches)

    def __len__(self) -> int:
        return len(self._texts)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Return the tokens of a text; the texts of special tokens become these."""
        ids: list[int] = []
        for part in self._control.split(text):
            if part in self._special:
                ids.append(self._special[part])
            else:
                ids += (
                    index for piece in re.findall(_PIECES, part) for index in self._piece(piece)
                )
        return ids

    def decode(self, token_ids: Iterable[int], **_: Any) -> str:
        """Return the text of tokens; halves of characters become U+FFFD."""
        return b"".join(self._texts[index] for index in token_ids).decode("utf-8", "replace")

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool, **_: Any
    ) -> str:
        """Do what `CHAT_TEMPLATE` says."""
        text = "".join(map(_render, messages))
        return text + _ASSISTANT * add_generation_prompt

    def save_pretrained(self, folder: Path) -> None:
        """Write what transformers and tokenizers read."""
        folder.mkdir(parents=True)
        config = {
            "backend": "tokenizers",
            "clean_up_tokenization_spaces": False,
            "eos_token": END,
            "model_max_length": int(1e30),
            "pad_token": PAD,
            "tokenizer_class": "TokenizersBackend",
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        text = json.dumps(self._description(), ensure_ascii=False, indent=1)
        (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")

    def _longest_matches(self, piece: str) -> tuple[int, ...]:
        rest, ids = piece.encode("utf-8", "replace"), []
        while rest:
            sizes = range(min(self._longest, len(rest)), 0, -1)
            size = next(size for size in sizes if rest[:size] in self._ids)
            ids.append(self._ids[rest[:size]])
            rest = rest[size:]
        return tuple(ids)

    def _description(self) -> dict[str, Any]:
        """Return tokenizer.json: the longest known word first, in each piece."""
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
        split = {"type": "Split", "pattern": {"Regex": _PIECES}, "behavior": "Isolated"}
        added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        spelled = {_spell(word): index for word, index in self._ids.items()}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": index, "content": token, "special": True, **added}
                for token, index in self._special.items()
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{**split, "invert": False}, {**byte_level, "use_regex": False}],
            },
            "post_processor": None,
            "decoder": {**byte_level, "use_regex": True},
            "model": {
                "type": "WordPiece",
                "unk_token": PAD,
                "continuing_subword_prefix": "",
                "max_input_chars_per_word": 1000,
                "vocab": {**self._special, **spelled},
            },
        }


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a tool call as the template writes it."""
    values = (
        f"<parameter={key}>{value if isinstance(value, str) else _dump(value)}</parameter>"
        for key, value in arguments.items()
    )
    return f"<function={name}>{''.join(values)}</function>"


def _render(message: Mapping[str, Any]) -> str:
    text = f"<|{message['role']}|>{message['content']}"
    if message["role"] != "assistant":
        return text
    calls = (call["function"] for call in message.get("tool_calls") or ())
    return text + "".join(call_text(each["name"], each["arguments"]) for each in calls) + END


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _symbols() -> dict[int, str]:
    """Return the printable character that stands for each byte in the files, as GPT-2 has them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    shifted = {byte: chr(256 + number) for number, byte in enumerate(others)}
    return {byte: chr(byte) for byte in plain} | shifted


_SYMBOLS = _symbols()


def _spell(word: bytes) -> str:
    return "".join(_SYMBOLS[byte] for byte in word)
