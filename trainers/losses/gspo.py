"""GSPO: the ratio of a whole row, clipped."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Aggregate, Loss, TokenLoss, log_ratio, row_mean
from agentgym.trainers.losses.ppo import clipped_loss

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class GSPO(Loss):
    """PPO on the geometric mean of a row's ratios; each token has a gradient of its own.

        s = exp(mean over the row of log rho)        loss = -min(s A, clip(s) A)

    The value is that of the row, the gradient flows through each token's log-probability. There is
    no dual clip: a large ratio with a negative advantage is unbounded.

    Source: arXiv:2507.18071; the form over tokens as in verl's code (read, and its numbers
    reproduced). A row is a segment of a trajectory, with the turns that stand in it.
    """

    cuts = True

    name: Literal["gspo"] = "gspo"
    aggregate: Aggregate = "seq-mean-token-mean"
    clip_low: float = Field(default=3e-4, ge=0, lt=1)
    """The ratio is clipped below at 1 - this."""
    clip_high: float = Field(default=4e-4, ge=0)
    """The ratio is clipped above at 1 + this."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Clip each row's ratio."""
        mask = batch.loss_mask
        mean = row_mean(log_ratio(logprobs, batch), mask)
        own = (logprobs - logprobs.detach()).masked_fill(~mask, 0.0)
        ratio = (mean.detach() + own).exp()
        bounded = ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        return clipped_loss(ratio, batch.advantages, bounded, dual_clip=None)
