"""What a policy loss is. It needs torch's tensors but not torch: methods of tensors are enough."""

from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class LossOutput(NamedTuple):
    """A loss, and what it did."""

    loss: "Tensor"
    """Scalar. The sum over the micro-batches of a minibatch is the loss of the minibatch."""
    metrics: "dict[str, Tensor]"
    """Detached scalars that add up in the same way."""
    clipped: "Tensor"
    """[B, T] bool, tokens whose policy gradient was cut off."""


class Loss(BaseModel, extra="forbid", frozen=True):
    """A policy loss: what every one of them has, and how it is called."""

    entropy_bonus: float = Field(default=0.0, ge=0)
    """Weight of the mean token entropy, which is maximised."""
    kl_penalty: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the policy that training began with; 0 keeps no copy of it."""

    def __call__(
        self, logprobs: "Tensor", batch: "Batch", *, normalizer: float, entropy: "Tensor"
    ) -> LossOutput:
        """Return the loss of a micro-batch.

        `logprobs` and `entropy` are [B, T] under the present weights and 0 where `loss_mask` is
        False; `normalizer` is the number of trained tokens in the whole minibatch, so that the
        cut into micro-batches changes nothing.
        """
        raise NotImplementedError

    def regularise(
        self, logprobs: "Tensor", batch: "Batch", *, normalizer: float, entropy: "Tensor"
    ) -> "tuple[Tensor, dict[str, Tensor]]":
        """Return the terms that all losses share: entropy, and the k3 estimate of the KL.

        Source of k3: Schulman, "Approximating KL divergence", 2020; GRPO, arXiv:2402.03300.
        """
        mean_entropy = entropy.sum() / normalizer
        metrics = {"entropy": mean_entropy.detach()}
        loss = -self.entropy_bonus * mean_entropy
        if self.kl_penalty:
            assert batch.reference_logprobs is not None, "the trainer fills this in"
            gap = (batch.reference_logprobs - logprobs).masked_fill(~batch.loss_mask, 0.0)
            divergence = (gap.exp() - gap - 1).sum() / normalizer
            metrics["kl_reference"] = divergence.detach()
            loss = loss + self.kl_penalty * divergence
        return loss, metrics
