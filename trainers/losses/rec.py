"""REC: REINFORCE on the tokens whose ratio is in a range."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import MAX_LOG_RATIO, Loss, TokenLoss, log_ratio, row_mean

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class REC(Loss):
    """The weighted advantage times the log-probability, of the tokens that `clip` lets through.

        loss = -sg(weight) A log pi where let through, else 0

        one-side:  rho <= 1 + clip_high where A > 0, rho >= 1 - clip_low where A < 0
        two-side:  1 - clip_low <= rho <= 1 + clip_high
        ring:      two-side, and rho <= 1 - ring_low where A > 0, rho >= 1 + ring_high where A < 0

    `gspo-one-side` is one-side with the geometric mean of a row's rho; Trinity-RFT adds it up by
    `aggregate` = seq-mean-token-mean, the others by token-mean. With the ratio that is clipped for
    a weight, one-side has the gradient of PPO, and gspo-one-side that of GSPO.

    Source: arXiv:2509.24203; Trinity-RFT's code (read). Deviations: Trinity-RFT does not clip
    unless told; there `gspo_importance_sampling` works with `gspo-one-side` only; its regularisers
    are left out.
    """

    cuts = True

    name: Literal["rec"] = "rec"
    clip: Literal["none", "one-side", "gspo-one-side", "two-side", "ring"] = "one-side"
    """Which tokens are let through."""
    clip_low: float = Field(default=0.2, gt=0, le=1)
    """The range begins at 1 - this."""
    clip_high: float = Field(default=0.2, gt=0)
    """The range ends at 1 + this."""
    ring_low: float = Field(default=0.6, gt=0, le=1)
    """With `ring`, good tokens come back at 1 - this and below."""
    ring_high: float = Field(default=2.0, gt=0)
    """With `ring`, bad tokens come back at 1 + this and above."""
    weight: Literal["none", "importance_sampling", "gspo_importance_sampling", "advantage"] = "none"
    """1, rho, the geometric mean of a row's rho, or exp(A / temperature)."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the weight `advantage`."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Weigh each token's log-probability."""
        drift = log_ratio(logprobs, batch).detach()
        ratio, row_ratio = drift.exp(), row_mean(drift, batch.loss_mask).exp()
        passed = self._passed(row_ratio if self.clip == "gspo-one-side" else ratio, batch)
        weight = {
            "none": ratio.new_ones(()),
            "importance_sampling": ratio,
            "gspo_importance_sampling": row_ratio,
            "advantage": (batch.advantages / self.temperature).clamp(max=MAX_LOG_RATIO).exp(),
        }[self.weight]
        loss = -weight * batch.advantages * logprobs * passed
        return TokenLoss(loss, ~passed & (batch.advantages != 0))

    def _passed(self, ratio: "Tensor", batch: "Batch") -> "Tensor":
        """Return which tokens are let through, [B, T] bool."""
        above, below = ratio > 1 + self.clip_high, ratio < 1 - self.clip_low
        good, bad = batch.advantages > 0, batch.advantages < 0
        if self.clip == "none":
            return batch.loss_mask
        if self.clip.endswith("one-side"):
            return ~((good & above) | (bad & below))
        ring = (good & (ratio <= 1 - self.ring_low)) | (bad & (ratio >= 1 + self.ring_high))
        return ~(above | below) | (ring if self.clip == "ring" else False)
