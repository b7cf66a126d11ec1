"""The sections of a run's configuration that belong to the trainer. Nothing here needs torch."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from agentgym.table import Ints


class OptimConfig(BaseModel, extra="forbid", frozen=True):
    """AdamW and its learning rate."""

    lr: float = Field(default=1e-5, gt=0)
    """Learning rate after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises from 0."""
    decay: Literal["constant", "cosine", "linear"] = "constant"
    """How the rate falls from the warm-up to the last step."""
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Where a decay ends, as a part of `lr`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the running means of the gradient and of its square."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest norm of a gradient."""

    def rate(self, step: int, total_steps: int) -> float:
        """Return the learning rate of a step, counted from 0.

        >>> config = OptimConfig(lr=1.0, warmup_steps=2, decay="linear", min_lr_ratio=0.0)
        >>> [config.rate(step, 6) for step in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
        """
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return self.lr
        done = min(1.0, (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))
        left = 1 - done if self.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.lr * (self.min_lr_ratio + (1 - self.min_lr_ratio) * left)


class WarmStartConfig(BaseModel, extra="forbid", frozen=True):
    """Imitation of a scripted teacher before the first step."""

    policy: str = "scripted"
    """The teacher: `scripted`, or `scripted:LEVEL` where the environment has levels."""
    episodes: int = Field(default=1000, ge=1)
    """Demonstrations to collect, one per training task."""
    steps: int = Field(default=0, ge=0)
    """Optimiser steps; 0 leaves the warm start out."""
    batch_size: int = Field(default=16, ge=1)
    """Demonstrations per optimiser step."""
    lr: float = Field(default=3e-3, gt=0)
    """Its own rate: up over the first 5 % of the steps, then down to a tenth along a cosine."""


class TrainConfig(BaseModel, extra="forbid", frozen=True):
    """How long, and how one optimiser step is cut up."""

    steps: int = Field(default=100, ge=0)
    """Rounds of collect and update."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Stop after the step in which this runs out, counted from the start of the process."""
    max_staleness: int = Field(default=0, ge=0)
    """Most steps by which the policy that sampled a token may be older than the one that is trained
    on it. 0: the engine waits while the weights are updated; more: it plays the episodes of so many
    steps to come meanwhile, and takes new weights in the middle of them (docs/rollouts.md)."""
    minibatches: int = Field(default=1, ge=1)
    """Updates per round; each sees its share of the rows."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a round's rows."""
    max_tokens_per_micro_batch: int = Field(default=8192, ge=1)
    """Padded tokens of one forward pass; gradients accumulate over as many as a minibatch needs.
    On a CPU 2048 is faster: less padding, and the activations stay in its caches."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    max_sync_gap: float | None = Field(default=None, gt=0)
    """Most nats by which an engine with weights of its own may differ from the trainer after a
    sync; the run stops above. null: 0.001 in float32, 0.5 in bfloat16."""
    tensorboard: bool = False
    """Write TensorBoard files too."""

    def cut(self, num_rows: int, *, seed: int) -> Iterator[Ints]:
        """Yield the numbers of the rows in each minibatch, one pass after the other.

        >>> [len(part) for part in TrainConfig(minibatches=2, epochs=2).cut(3, seed=0)]
        [2, 1, 2, 1]
        """
        shuffle = np.random.default_rng(seed)
        for _ in range(self.epochs):
            for part in np.array_split(shuffle.permutation(num_rows), self.minibatches):
                if len(part):
                    yield part


class CheckpointConfig(BaseModel, extra="forbid", frozen=True):
    """When the state of training is saved."""

    every: int = Field(default=10, ge=1)
    """Steps between checkpoints; the last step and an interruption save one too."""
    keep: int = Field(default=2, ge=1)
    """How many of the newest stay."""


class EvalConfig(BaseModel, extra="forbid", frozen=True):
    """Held-out success while training."""

    every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0: none while training."""
    episodes: int = Field(default=200, ge=1)
    """Tasks of an evaluation, the first of the split."""
    split: str | None = None
    """null: test, where the environment has it, else its first split."""
    samples: int = Field(default=1, ge=1)
    """Episodes per task; more than one gives pass@k."""
    greedy: bool = False
    """Evaluate with greedy decoding too."""
