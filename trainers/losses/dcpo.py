"""DCPO: the bounds of the clip follow the old probability of each token."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Loss, TokenLoss, log_ratio
from agentgym.trainers.losses.ppo import clipped_loss

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class DCPO(Loss):
    """PPO whose clip is wide for tokens that were unlikely.

        low = (1 + sqrt(max(1 - 4 clip_low / q, 0))) / 2     q: old probability of the token
        high = min((1 + sqrt(1 + 4 clip_high / q)) / 2, cap)

    Source: lime-RL/DCPO (read, and its bounds reproduced). Its advantages, which mix the batch
    with what was seen before, are not part of this. Another paper has the same acronym.
    """

    cuts = True

    name: Literal["dcpo"] = "dcpo"
    clip_low: float = Field(default=0.16, ge=0)
    """Width below."""
    clip_high: float = Field(default=0.28, ge=0)
    """Width above."""
    cap: float = Field(default=10.0, gt=1)
    """Most that the upper bound may be; below 10 the code takes 10."""
    dual_clip: float | None = Field(default=10.0, gt=1)
    """Most that a negative advantage is multiplied by, however large the ratio."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Clip each token's ratio at its own bounds."""
        ratio = log_ratio(logprobs, batch).exp()
        low, high = self.bounds(batch.old_logprobs.exp())
        bounded = ratio.maximum(low).minimum(high)
        return clipped_loss(ratio, batch.advantages, bounded, dual_clip=self.dual_clip)

    def bounds(self, old_probability: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the least and the largest ratio of each token."""
        q = old_probability.clamp(min=1e-8)
        low = (1 + (1 - 4 * self.clip_low / q).clamp(min=0).sqrt()) / 2
        high = (1 + (1 + 4 * self.clip_high / q).sqrt()) / 2
        return low, high.clamp(max=max(self.cap, 10.0))
