"""Weights for tokens that were sampled under other numbers than they are trained with.

An engine and a trainer give the same weights slightly different probabilities. Corrections look at
the ratio w = pi_trainer / pi_engine of each token, both before the update; `OffPolicyMask` at the
trainer as it is now, so that it sees how far the update itself has moved.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, Field, model_validator

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch

M = TypeVar("M")

_MAX_LOG_RATIO = 20.0  # exp() of more overflows to inf, and inf * 0 is NaN


class Correction(BaseModel, ABC, extra="forbid", frozen=True, allow_inf_nan=False):
    """How much each token of a micro-batch counts, beside its share of the loss."""

    @abstractmethod
    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor | float":
        """Return weights without a gradient, [B, T]; 0 where masked out or dropped.

        `logprobs` is [B, T], detached, under the present weights.
        """

    def bounded(self, weights: "Tensor") -> "Tensor":
        """Return where a bound decided the weight, [B, T] bool; anything where masked out."""
        return weights == 0


class NoCorrection(Correction):
    """What the engine said of its tokens is taken for the old policy."""

    name: Literal["none"] = "none"

    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor | float":
        """Return 1."""
        return 1.0


class TIS(Correction):
    """Truncated importance sampling: weight min(w, cap), of tokens or of the product over a row.

    Source: verl's rollout correction (read, and its numbers reproduced); "vanilla" TIS of slime
    bounds from below as well. verl's option to divide by the mean weight of the batch is left out.
    """

    name: Literal["tis"] = "tis"
    level: Literal["token", "sequence"] = "token"
    """Of which the ratio is."""
    cap: float = Field(default=2.0, gt=0)
    """The largest weight."""
    floor: float = Field(default=0.0, ge=0)
    """The smallest weight."""

    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor":
        """Return [B, T], 0 where masked out."""
        gap = _gap(batch, batch.old_logprobs)
        if self.level == "sequence":
            gap = gap.sum(dim=1, keepdim=True).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
        return gap.exp().clamp(self.floor, self.cap) * batch.loss_mask

    def bounded(self, weights: "Tensor") -> "Tensor":
        """Return where a weight was cut to its bound."""
        return (weights >= self.cap) | (weights <= self.floor)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        return _checked(self, self.floor, self.cap)


class IcePop(Correction):
    """Masked importance sampling: weight w where low <= w <= high, else 0.

    Source: slime's code (read, and its numbers reproduced).
    """

    name: Literal["icepop"] = "icepop"
    low: float = Field(default=0.5, ge=0)
    """Tokens below weigh nothing."""
    high: float = Field(default=2.0, gt=0)
    """Tokens above weigh nothing."""

    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor":
        """Return [B, T], 0 where masked out."""
        ratio = _gap(batch, batch.old_logprobs).exp()
        return ratio * ((ratio >= self.low) & (ratio <= self.high) & batch.loss_mask)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        return _checked(self, self.low, self.high)


class Rejection(Correction):
    """Weight 1 where low <= w <= high, else 0.

    Source: verl's rejection by `token_k1` (read, and its numbers reproduced with `compat`), which
    compares its bounds with 1 / w: asymmetric ones act the other way round there.
    """

    name: Literal["rejection"] = "rejection"
    low: float = Field(default=0.5, ge=0)
    """Tokens below are dropped."""
    high: float = Field(default=2.0, gt=0)
    """Tokens above are dropped."""
    compat: bool = False
    """The bounds are of 1 / w, as in verl."""

    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor":
        """Return [B, T], 0 where masked out."""
        gap = _gap(batch, batch.old_logprobs)
        ratio = (-gap if self.compat else gap).exp()
        return ((ratio >= self.low) & (ratio <= self.high) & batch.loss_mask).to(ratio.dtype)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        return _checked(self, self.low, self.high)


class OffPolicyMask(Correction):
    """Drops the tokens of a row that were bad and have become unlikely.

    Where A < 0, and the mean over the row of log pi_engine - log pi exceeds delta, the weight is 0;
    else it is 1. pi is the policy as it is now, after the minibatches and epochs before.

    Source: TRL's code (read). Deviation: TRL has one advantage a sequence, so that it drops whole
    ones; here only the tokens with A < 0 go.
    """

    name: Literal["off_policy_mask"] = "off_policy_mask"
    delta: float = Field(default=0.5, gt=0)
    """How far the policies may be apart, in nats a token."""

    def __call__(self, batch: "Batch", logprobs: "Tensor") -> "Tensor":
        """Return [B, T], 0 where masked out."""
        mask = batch.loss_mask
        total = -_gap(batch, logprobs).sum(dim=1, keepdim=True)
        distance = total / mask.sum(dim=1, keepdim=True).clamp(min=1)
        dropped = (batch.advantages < 0) & (distance > self.delta)
        return (mask & ~dropped).to(distance.dtype)


AnyCorrection = Annotated[
    NoCorrection | TIS | IcePop | Rejection | OffPolicyMask, Field(discriminator="name")
]
"""Any of them, by its `name`."""


def _gap(batch: "Batch", logprobs: "Tensor") -> "Tensor":
    """Return the log of each token's probability over the engine's, [B, T]; 0 where masked out."""
    assert batch.rollout_logprobs is not None, "the trainer fills this in"
    gap = (logprobs - batch.rollout_logprobs).masked_fill(~batch.loss_mask, 0.0)
    return gap.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)


def _checked(model: M, low: float, high: float) -> M:
    if low > high:
        raise ValueError(f"the lower bound {low:g} is above the upper one {high:g}")
    return model
