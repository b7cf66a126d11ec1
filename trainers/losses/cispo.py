"""CISPO: the ratio is a bounded weight, and every token keeps its gradient."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Loss, TokenLoss, log_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class CISPO(Loss):
    """REINFORCE with the clipped ratio for a weight.

        loss = -sg(clip(rho, 1 - clip_low, 1 + clip_high)) A log pi

    Source: MiniMax-M1, arXiv:2506.13585; as in verl's code (read, and its numbers reproduced). TRL
    bounds from above only, by an absolute cap: clip_low = 1, clip_high = cap - 1.
    """

    name: Literal["cispo"] = "cispo"
    clip_low: float = Field(default=1.0, ge=0, le=1)
    """The weight is at least 1 - this."""
    clip_high: float = Field(default=0.28, ge=0)
    """The weight is at most 1 + this."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Weigh each token's log-probability."""
        ratio = log_ratio(logprobs, batch).exp().detach()
        weight = ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        return TokenLoss(-weight * batch.advantages * logprobs)
