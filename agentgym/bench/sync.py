"""How long an engine takes to get a trainer's weights, and whether it then has them."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentgym.engine import Engine, largest_gap
from agentgym.engines.quiet import quiet
from agentgym.engines.settings import ModelConfig, TinyConfig
from agentgym.engines.tiny import make_tiny
from agentgym.trainers.policy import TrainerPolicy

_PROBE = tuple(range(1, 65))
_STEP = 1e-3  # by which weights change between two syncs, of their own size
_CONTEXT = 256


@dataclass(frozen=True, slots=True)
class Row:
    """The syncs of one engine."""

    engine: str
    first_s: float
    """Seconds of the first sync, which makes what later ones use again."""
    seconds: float
    """The median of the later ones, from the trainer's state dict until the engine decodes."""
    low_s: float
    high_s: float
    gap: float
    """Largest difference to the trainer's log-probabilities after any of them, in nats."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


async def bench_syncs(
    engines: Mapping[str, Engine], policy: TrainerPolicy, *, rounds: int
) -> list[Row]:
    """Change the weights and hand them to each engine in turn, `rounds` times and once before.

    Raises:
        EngineError: an engine did not take them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    gaps: dict[str, list[float]] = {name: [] for name in engines}
    for version in range(1, rounds + 2):
        _change(policy, seed=version)
        expected = policy.logprobs(_PROBE)
        for name, engine in engines.items():
            began = time.perf_counter()
            await engine.load_weights(policy.model.state_dict(), version=version)
            seconds[name].append(time.perf_counter() - began)
            found = await engine.logprobs(_PROBE)
            gaps[name].append(largest_gap(found, expected))
    return [
        Row(
            name, first, statistics.median(later), min(later), max(later), float(np.max(gaps[name]))
        )
        for name, (first, *later) in seconds.items()
    ]


@torch.no_grad()
def _change(policy: TrainerPolicy, *, seed: int) -> None:
    """Take a step in a random direction."""
    torch.manual_seed(seed)
    for parameter in policy.parameters():
        parameter.mul_(1 + _STEP * torch.randn(()))


def half_billion(folder: Path) -> ModelConfig:
    """Make a random model of the shape of Qwen 2 0.5B: 494 M parameters, the output layer tied."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    make_tiny(folder, config=TinyConfig(layers=1, width=64, heads=2), texts=(), seed=0)
    shape = Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4_864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    with quiet():
        Qwen2ForCausalLM(shape).save_pretrained(folder)
    return ModelConfig(path=str(folder))
