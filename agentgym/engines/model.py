"""Where a model comes from: a Hugging Face folder on disk, or a tiny one made here."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.engine import Loaded
from agentgym.engines.quiet import quiet
from agentgym.engines.settings import ModelConfig
from agentgym.engines.tiny import make_tiny
from agentgym.errors import ConfigError, MissingError
from agentgym.types import ToolSpec

if TYPE_CHECKING:
    import torch

__all__ = ["Loaded", "ModelConfig", "check_folder", "load_model"]

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def load_model(
    config: ModelConfig,
    *,
    folder: Path | None = None,
    texts: Iterable[str] = (),
    tools: Sequence[ToolSpec] = (),
    seed: int = 0,
    with_module: bool = True,
) -> Loaded:
    """Read a model from disk; nothing is ever fetched from a network.

    Args:
        config: which model.
        folder: where a tiny model is made, or found again when it was made before.
        texts: the words a tiny model's tokenizer knows.
        tools: the tools a tiny model's tokenizer knows.
        seed: of a tiny model's weights.
        with_module: False where an engine reads the weights itself, and nobody else needs them.

    Raises:
        ConfigError: the folder is no model, or it cannot do what is asked.
        MissingError: torch or transformers is not installed, or there is no such device.
    """
    _set_up_torch(config.threads)
    if config.path == "tiny":
        if folder is None:
            raise ConfigError("a tiny model needs a folder to be made in")
        source = folder
        if not (source / "config.json").exists():
            make_tiny(source, config=config.tiny, texts=texts, tools=tools, seed=seed)
    else:
        source = Path(config.path).expanduser()
    check_folder(source)
    tokenizer = _load_tokenizer(source)
    device = _device(config.device)
    dtype = _dtype(config.dtype, device)
    model = _load_weights(source, dtype=dtype).to(device).eval() if with_module else None
    shape = model.config if model is not None else _load_shape(source)
    _check_vocabulary(source, tokenizer, shape)
    max_context = _max_context(shape, config.max_context)
    return Loaded(model, tokenizer, source, max_context, str(dtype).removeprefix("torch."))


def check_folder(folder: Path) -> None:
    """Raise ConfigError, naming what is missing, unless `folder` looks like a model."""
    hint = "set model.path to a folder with config.json, weights, tokenizer and chat template"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"model folder {str(folder)!r} {what}", hint=hint)
    names = {path.name for path in folder.iterdir()}
    found = f"found {', '.join(sorted(names)[:8]) or 'nothing'}"
    expected = {
        "config.json": ("config.json",),
        "weights": _WEIGHTS,
        "tokenizer": _TOKENIZERS,
    }
    missing = [what for what, files in expected.items() if names.isdisjoint(files)]
    if missing:
        raise ConfigError(
            f"{str(folder)!r} is no model: no {', no '.join(missing)} ({found})", hint=hint
        )
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{str(folder / 'config.json')!r} names no model_type ({error!r})", hint=hint
        ) from error
    if not isinstance(kind, str):
        raise ConfigError(f"{str(folder / 'config.json')!r} has model_type {kind!r}", hint=hint)


def _set_up_torch(threads: int | None) -> None:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"a local model needs torch and transformers ({error})",
            hint="pip install 'agentgym-framework[train]'",
        ) from error
    if threads is not None:
        torch.set_num_threads(threads)


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a broken file makes the library raise
        raise ConfigError(
            f"the tokenizer in {str(folder)!r} cannot be read: {error}",
            hint="copy tokenizer.json and tokenizer_config.json of the model there",
        ) from error


def _load_shape(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a broken file makes the library raise
        raise ConfigError(
            f"{str(folder / 'config.json')!r} cannot be read: {error}",
            hint="it must be that of a causal language model that transformers knows",
        ) from error


def _check_vocabulary(folder: Path, tokenizer: Any, config: Any) -> None:
    """Refuse a tokenizer of another model; one with fewer tokens than the model is common."""
    known = int(config.get_text_config().vocab_size)
    most = max(tokenizer.get_vocab().values(), default=-1)
    if most >= known:
        raise ConfigError(
            f"the tokenizer in {str(folder)!r} has tokens up to id {most}, but the model knows "
            f"only those below {known}",
            hint="copy the tokenizer of this very model there",
        )


def _load_weights(folder: Path, *, dtype: "torch.dtype") -> Any:
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # whatever a broken file makes the library raise
        raise ConfigError(
            f"the model in {str(folder)!r} cannot be loaded: {error}",
            hint="the folder must hold a causal language model that transformers knows",
        ) from error
    if missing := sorted(loading["missing_keys"]):
        raise ConfigError(
            f"the weights in {str(folder)!r} lack {len(missing)} tensors, such as {missing[0]!r}",
            hint="the weights must be those of config.json",
        )
    return model


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise MissingError(
            f"device {name!r} is not there: torch sees {count} CUDA devices",
            hint='set model.device to "auto" or "cpu"',
        )
    return device


def _dtype(name: str, device: "torch.device") -> "torch.dtype":
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _max_context(config: Any, wanted: int | None) -> int:
    """Return how many tokens fit; every layer must see all of them."""
    shape = config.get_text_config()
    most = int(shape.max_position_embeddings)
    window = getattr(shape, "sliding_window", None)
    kinds = set(getattr(shape, "layer_types", None) or ["sliding_attention" if window else ""])
    if "sliding_attention" in kinds and window:
        most = min(most, int(window))
    if unknown := kinds - {"full_attention", "sliding_attention", ""}:
        raise ConfigError(
            f"layers of the kinds {sorted(unknown)} have no key-value cache that can be kept here",
            hint="use a model whose layers all have full attention",
        )
    if wanted is not None and wanted > most:
        raise ConfigError(
            f"model.max_context is {wanted}, but the model takes at most {most} tokens",
            hint=f"set model.max_context to {most} or less",
        )
    return most if wanted is None else wanted
