"""Weights on their way into an engine: a state dict, or a folder of safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentgym.errors import EngineError


def copy_weights(model: Any, source: Mapping[str, Tensor] | Path) -> None:
    """Copy weights into a model; of tied ones one name is enough.

    Raises:
        EngineError: they do not fit, or cannot be read; the model is as before.
    """
    weights = read_weights(source) if isinstance(source, Path) else source
    own = model.state_dict()
    unknown = sorted(weights.keys() - own.keys())
    given = {own[name].data_ptr() for name in weights.keys() & own.keys()}
    missing = [n for n, t in own.items() if n not in weights and t.data_ptr() not in given]
    wrong = [n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape]
    if unknown or missing or wrong:
        raise EngineError(
            f"the weights do not fit the model: unknown {unknown[:3]}, missing {missing[:3]}, "
            f"of another shape {sorted(wrong)[:3]}"
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read all the safetensors files of a folder.

    Raises:
        EngineError: there are none, or one is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise EngineError(f"there are no *.safetensors in {str(folder)!r}")
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= load_file(file)
        except (OSError, SafetensorError) as error:
            raise EngineError(f"the weights in {str(file)!r} cannot be read: {error}") from error
    return weights
