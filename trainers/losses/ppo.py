"""PPO-clip over tokens."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Loss, TokenLoss, log_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class PPO(Loss):
    """The clipped ratio of PPO.

        rho = pi / pi_old        loss = -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A)
        with dual_clip c, where A < 0: min(loss, -c A)

    NGRPO's asymmetric clip is clip_low = 0.16, clip_high = 0.24.

    Source: PPO, arXiv:1707.06347; the wider upper bound and the token mean: DAPO,
    arXiv:2503.14476; the lower bound for negative advantages: arXiv:1912.09729. verl's numbers
    reproduced.
    """

    cuts = True

    name: Literal["ppo"] = "ppo"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """The ratio is clipped below at 1 - this."""
    clip_high: float = Field(default=0.28, ge=0)
    """The ratio is clipped above at 1 + this."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Most that a negative advantage is multiplied by, however large the ratio."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Clip each token's ratio."""
        ratio = log_ratio(logprobs, batch).exp()
        return clipped_loss(
            ratio,
            batch.advantages,
            ratio.clamp(1 - self.clip_low, 1 + self.clip_high),
            dual_clip=self.dual_clip,
        )


def clipped_loss(
    ratio: "Tensor", advantages: "Tensor", bounded: "Tensor", *, dual_clip: float | None
) -> TokenLoss:
    """Return the larger of the two losses of each token, and where it is that of the bound."""
    free, bound = -ratio * advantages, -bounded * advantages
    loss, clipped = free.maximum(bound), bound > free
    if dual_clip is not None:
        ceiling = -dual_clip * advantages.clamp(max=0.0)
        beyond = (advantages < 0) & (loss > ceiling)
        loss, clipped = ceiling.where(beyond, loss), clipped | beyond
    return TokenLoss(loss, clipped)
