"""TOPR: what was good is imitated, what was bad is unlearned as far as it is still done."""

from typing import TYPE_CHECKING, Literal

from agentgym.trainers.losses.base import MAX_LOG_RATIO, Loss, TokenLoss, log_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class TOPR(Loss):
    """REINFORCE whose negative examples fade with their probability.

        alpha = 1 where A > threshold, else min(rho, 1)        loss = -sg(alpha) A log pi

    Source: arXiv:2503.14286, where rho is the ratio of the sequence; Trinity-RFT's code (read, and
    its numbers reproduced) takes that of each token: `level`.
    """

    name: Literal["topr"] = "topr"
    level: Literal["token", "sequence"] = "sequence"
    """Of which the ratio is."""
    threshold: float = 0.0
    """Advantages above are imitated."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Weigh each token's log-probability."""
        alpha = self.alpha(log_ratio(logprobs, batch).detach(), batch.advantages)
        return TokenLoss(-alpha * batch.advantages * logprobs)

    def alpha(self, log_ratios: "Tensor", advantages: "Tensor") -> "Tensor":
        """Return the weight of each token, [B, T]."""
        if self.level == "sequence":
            total = log_ratios.sum(dim=1, keepdim=True)
            log_ratios = total.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).expand_as(advantages)
        ratio = log_ratios.exp().clamp(max=1.0)
        return ratio.where(advantages <= self.threshold, 1.0)
