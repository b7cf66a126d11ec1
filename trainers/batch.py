"""Rows become padded batches, as torch has them. Letters as in `agentgym/types.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agentgym.trainers.rows import Row


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rows padded on the right to one width."""

    token_ids: Tensor
    """[B, T] int64"""
    loss_mask: Tensor
    """[B, T] bool; column 0 is False, since nothing stands before it."""
    old_logprobs: Tensor
    """[B, T] float32"""
    advantages: Tensor
    """[B, T] float32"""
    token: Tensor
    """[B, T] int64, as in `Row`."""
    lengths: Tensor
    """[B] int64, tokens of each row without padding."""
    reference_logprobs: Tensor | None = None
    """[B, T] float32, under the frozen reference; only where the loss asks for it."""
    rollout_logprobs: Tensor | None = None
    """[B, T] float32, as the engine had them; only where the loss corrects for them."""

    def __post_init__(self) -> None:
        shape = self.token_ids.shape
        for name in ("loss_mask", "old_logprobs", "advantages", "token"):
            assert getattr(self, name).shape == shape, f"{name} is not {tuple(shape)}"
        assert self.lengths.shape == shape[:1]
        assert self.loss_mask.dtype == torch.bool
        assert not self.loss_mask[:, 0].any(), "the first token of a row cannot be predicted"
        outside = ~self.loss_mask
        assert not self.advantages[outside].any(), "an advantage outside of the mask"
        assert not self.old_logprobs[outside].any(), "a log-probability outside of the mask"


def pad(rows: Sequence[Row], *, device: torch.device | str = "cpu") -> Batch:
    """Pad rows on the right to the longest.

    The padding is token 0: it is masked out of the loss, and a causal model does not look ahead.
    """

    def column(name: str, fill: int | bool) -> Tensor:
        values = [getattr(row, name) for row in rows]
        padded = np.full((len(rows), width), fill, dtype=values[0].dtype)
        for line, value in zip(padded, values, strict=True):
            line[: len(value)] = value
        return torch.from_numpy(padded).to(device)

    lengths = [len(row.token_ids) for row in rows]
    width = max(lengths)
    return Batch(
        token_ids=column("token_ids", 0),
        loss_mask=column("loss_mask", False),
        old_logprobs=column("old_logprobs", 0),
        advantages=column("advantages", 0),
        token=column("token", -1),
        lengths=torch.tensor(lengths, device=device),
        rollout_logprobs=(
            None if rows[0].rollout_logprobs is None else column("rollout_logprobs", 0)
        ),
    )
