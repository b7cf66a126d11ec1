"""Tokens drawn from logits: the inverse of the distribution function, in two looks."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 256  # columns of which only the sum is looked at first
_FEW = 4096  # columns that are faster looked at all at once


class Drawn(NamedTuple):
    """One token of each row."""

    tokens: NDArray[np.int64]
    """[B]"""
    logprobs: NDArray[np.float64]
    """[B], float32 values; NaN where the logits were."""


def draw(logits: Tensor, uniforms: NDArray[np.float64], temperatures: NDArray[np.float64]) -> Drawn:
    """Draw a token of each row of `logits` [B, V]; `uniforms` [B] in [0, 1) decide which.

    The token is the first whose cumulative probability exceeds its uniform number: the same
    numbers give the same token, and a rounding of the logits changes it as rarely as can be.
    Sums of blocks tell in which block that is; only inside it are probabilities added one by one,
    in float64. A temperature of 0 takes the likeliest, with its log-probability at temperature 1.
    """
    greedy = temperatures == 0
    divisors = np.where(greedy, 1.0, temperatures)
    packed = torch.from_numpy(np.stack([uniforms, divisors, greedy])).to(logits.device)
    uniform, divisor, is_greedy = packed[:, :, None]
    logits = logits.float()
    best, likeliest = logits.max(-1, keepdim=True)
    weights = logits - best
    if (divisors != 1).any():
        weights /= divisor.float()
    tokens, total = _invert(weights.exp_(), uniform)
    if greedy.any():
        tokens = torch.where(is_greedy.bool(), likeliest, tokens)
    logprobs = (logits.gather(-1, tokens) - best).double() / divisor - total.log()
    drawn = torch.cat([tokens.double(), logprobs.float().double()], -1).cpu().numpy()
    return Drawn(drawn[:, 0].astype(np.int64), drawn[:, 1])


def _invert(weights: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column [B, 1] where the running sum passes a share of the total, and the total."""
    rows, columns = weights.shape
    if columns <= _FEW:
        column, _, total = _find(weights, share)
        return column, total
    blocks = -(-columns // _BLOCK)
    padded = torch.nn.functional.pad(weights, (0, blocks * _BLOCK - columns))
    padded = padded.view(rows, blocks, _BLOCK)
    block, rest, total = _find(padded.sum(-1), share)
    inside = padded.gather(1, block[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    column, *_ = _find(inside, rest)
    return (block * _BLOCK + column).clamp_(max=columns - 1), total


def _find(weights: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the column, which share of the column itself is passed there, and the total."""
    ends = weights.double().cumsum(-1)
    total = ends[:, -1:]
    wanted = share * total
    column = torch.searchsorted(ends, wanted, right=True).clamp_(max=weights.shape[1] - 1)
    size = weights.gather(-1, column)
    passed = (wanted - ends.gather(-1, column) + size) / size
    return column, passed.clamp_(min=0), total
