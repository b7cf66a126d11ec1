"""A LoRA over the model: what vLLM computes is what PEFT's formula says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_conformance import LONG, SAMPLED, Reference, altered, make_model
from safetensors.torch import save_file
from vllm_engines import CONFIG, MARKS, loaded

from agentgym.errors import ConfigError, EngineError

pytestmark = MARKS

_RANK = 4
_ALPHA = 8


def write_adapter(folder: Path, model: Any, *, seed: int) -> Reference:
    """A random adapter of q and down projections; what the model is with it: W + alpha/r B A."""
    generator = torch.Generator().manual_seed(seed)
    weights = dict(model.state_dict())
    tensors = {}
    for name in list(weights):
        if name.endswith(("q_proj.weight", "down_proj.weight")):
            out, into = weights[name].shape
            a = torch.randn(_RANK, into, generator=generator) * 0.3
            b = torch.randn(out, _RANK, generator=generator) * 0.3
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            tensors |= {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
            weights[name] = weights[name] + _ALPHA / _RANK * b @ a
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": _RANK, "lora_alpha": _ALPHA, "task_type": "CAUSAL_LM"}
    settings |= {"target_modules": ["q_proj", "down_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return Reference(model, weights)


async def test_adapters_are_laid_over_the_model_and_replaced_under_way(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "llama", tied=True)
    first = write_adapter(tmp_path / "first", model, seed=1)
    config = CONFIG.model_copy(update={"adapter": str(tmp_path / "first"), "max_lora_rank": 8})
    engine = config.build(loaded(tmp_path / "model"))
    await engine.start()
    try:
        first.check([5], await engine.generate([5], SAMPLED, seed=0))
        for version in (2, 3):
            folder = tmp_path / str(version)
            new = write_adapter(folder, model, seed=version)
            task = asyncio.create_task(engine.generate([6], LONG, seed=0))
            await asyncio.sleep(0.05)
            await engine.load_weights(folder, version=version)
            completion = await task
            assert completion.versions[-1][1] == version
            new.check([6], completion, first=completion.versions[-1][0])
            new.check([5], await engine.generate([5], SAMPLED, seed=0))
        with pytest.raises(EngineError, match="takes the folders of adapters"):
            await engine.load_weights(altered(model, seed=1), version=4)
        with pytest.raises(EngineError, match="is no adapter"):
            await engine.load_weights(tmp_path / "nowhere", version=4)
        new.check([5], await engine.generate([5], SAMPLED, seed=0))
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [("rank", "max_lora_rank|rank 32"), ("base", "does not fit"), ("missing", "is no adapter")],
)
async def test_an_adapter_that_does_not_fit_is_told_at_once(
    tmp_path: Path, change: str, told: str
) -> None:
    model = make_model(tmp_path / "model", "llama", tied=True)
    folder = tmp_path / "adapter"
    write_adapter(folder, model, seed=1)
    settings = json.loads((folder / "adapter_config.json").read_text())
    if change == "rank":
        (folder / "adapter_config.json").write_text(json.dumps(settings | {"r": 32}))
    elif change == "base":
        other = {"base_model.model.model.layers.9.mlp.down_proj.lora_A.weight": torch.ones(4, 96)}
        save_file(other, folder / "adapter_model.safetensors")
    else:
        (folder / "adapter_config.json").unlink()
    engine = CONFIG.model_copy(update={"adapter": str(folder)}).build(loaded(tmp_path / "model"))
    with pytest.raises(ConfigError, match=told):
        await engine.start()
    await engine.close()
