"""Small language models made on this machine: a random transformer and a word-level tokenizer.

`make_tiny` writes an ordinary Hugging Face folder. The tokenizer knows the words of the texts it
is given as single tokens and spells everything else in bytes, so that any text survives.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.engines.quiet import quiet
from agentgym.engines.settings import TinyConfig
from agentgym.engines.template import CHAT_TEMPLATE, END, PAD, special_tokens
from agentgym.types import ToolSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TinyConfig", "make_tiny"]

# Bounded, because the longest match inside one piece is searched in quadratic time.
_PIECES = (
    r"\n{1,4}[ \t]{0,32}"  # line breaks with the indentation that follows them
    r"| ?[\p{L}_]{1,24}"
    r"| ?\d"
    r"| ?[^\s\p{L}\d_]{1,4}"
    r"|\s{1,8}(?!\S)|\s{1,8}"
)


def make_tiny(
    folder: Path,
    *,
    config: TinyConfig,
    texts: Iterable[str],
    tools: Sequence[ToolSpec] = (),
    seed: int,
) -> None:
    """Write a model with random weights, its tokenizer and chat template into `folder`.

    Args:
        folder: made if missing.
        config: the size.
        texts: prompts, answers and programs; each word in them becomes one token.
        tools: their names and parameters become one token each.
        seed: of the weights.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = special_tokens(tools)
    backend = _tokenizer(texts, special, max_words=config.max_words)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    shape = LlamaConfig(
        vocab_size=backend.get_vocab_size(),
        hidden_size=config.width,
        intermediate_size=_mlp_width(config.width),
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_context,
        tie_word_embeddings=True,
        # Learnt faster than twice and than half as much at width 128, tried on recall of pairs.
        initializer_range=0.5 * config.width**-0.5,
        bos_token_id=None,
        eos_token_id=backend.token_to_id(END),
        pad_token_id=backend.token_to_id(PAD),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(shape)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)


def _mlp_width(width: int) -> int:
    """8/3 of the width, as gated feed-forward layers have it, in multiples of 32."""
    return (8 * width // 3 + 31) // 32 * 32


def _tokenizer(texts: Iterable[str], special: Sequence[str], *, max_words: int) -> "Tokenizer":
    """Longest match first over the words of each piece; single bytes match everything else."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    split: Any = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts = Counter(piece for text in texts for piece, _ in split.pre_tokenize_str(text))
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
    words = [piece for piece in ranked if len(piece) > 1][:max_words]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = dict.fromkeys([*special, *symbols, *words])
    # A space is written as its byte symbol here.
    digits = [f"\u0120{digit}" for digit in range(10)]
    vocabulary.update(dict.fromkeys(digits))
    tokenizer = Tokenizer(
        models.WordPiece(
            {token: index for index, token in enumerate(vocabulary)},
            unk_token=PAD,
            continuing_subword_prefix="",
            max_input_chars_per_word=1000,
        )
    )
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer
