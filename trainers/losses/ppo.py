"""PPO-clip over tokens."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Loss, LossOutput

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch

_MAX_LOG_RATIO = 20.0  # exp() of more overflows to inf, and inf * 0 is NaN


class PPO(Loss):
    """The clipped ratio of PPO, averaged over the tokens of the minibatch.

    Source: PPO, arXiv:1707.06347; the wider upper bound and the token mean: DAPO,
    arXiv:2503.14476; the lower bound for negative advantages: arXiv:1912.09729.
    """

    name: Literal["ppo"] = "ppo"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """The ratio is clipped below at 1 - this."""
    clip_high: float = Field(default=0.28, ge=0)
    """The ratio is clipped above at 1 + this."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Most that a negative advantage is multiplied by, however large the ratio."""

    def __call__(
        self, logprobs: "Tensor", batch: "Batch", *, normalizer: float, entropy: "Tensor"
    ) -> LossOutput:
        """Return the loss of a micro-batch."""
        mask, advantages = batch.loss_mask, batch.advantages
        log_ratio = (logprobs - batch.old_logprobs).masked_fill(~mask, 0.0)
        ratio = log_ratio.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
        free = -ratio * advantages
        bound = -ratio.clamp(1 - self.clip_low, 1 + self.clip_high) * advantages
        token_loss = free.maximum(bound)
        clipped = bound > free
        if self.dual_clip is not None:
            ceiling = -self.dual_clip * advantages.clamp(max=0.0)
            beyond = (advantages < 0) & (token_loss > ceiling)
            token_loss, clipped = ceiling.where(beyond, token_loss), clipped | beyond
        extra, metrics = self.regularise(logprobs, batch, normalizer=normalizer, entropy=entropy)
        drift = log_ratio.detach()
        metrics |= {
            "policy_loss": token_loss.detach().sum() / normalizer,
            "clip_fraction": clipped.sum() / normalizer,
            "approx_kl": (ratio.detach() - drift - 1).sum() / normalizer,
        }
        return LossOutput(token_loss.sum() / normalizer + extra, metrics, clipped)
