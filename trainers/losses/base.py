"""What a policy loss is. It needs torch's tensors but not torch: methods of tensors are enough."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from agentgym.trainers.losses.corrections import AnyCorrection, NoCorrection

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch

MAX_LOG_RATIO = 20.0
"""exp() of more overflows to inf, and inf * 0 is NaN."""

Aggregate = Literal[
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]


class Normalizer(NamedTuple):
    """What there is in a whole minibatch, so that the cut into micro-batches changes nothing."""

    tokens: float
    """Trained tokens."""
    rows: float
    """Rows, each a sequence."""


class TokenLoss(NamedTuple):
    """What a method makes of each token, before anything is added up."""

    loss: "Tensor"
    """[B, T], finite where the loss mask is True."""
    clipped: "Tensor | None" = None
    """[B, T] bool, tokens whose policy gradient was cut off; None: none was."""


class LossOutput(NamedTuple):
    """A loss, and what it did."""

    loss: "Tensor"
    """Scalar. The sum over the micro-batches of a minibatch is the loss of the minibatch."""
    metrics: "dict[str, Tensor]"
    """Detached scalars that add up in the same way; all but `policy_loss` are means over tokens."""
    clipped: "Tensor"
    """[B, T] bool, tokens whose policy gradient was cut off."""
    weights: "Tensor"
    """[B, T], what each token's loss was multiplied by; 0 where it is masked out or dropped."""


class Loss(BaseModel, ABC, extra="forbid", frozen=True, allow_inf_nan=False):
    """A policy loss: what every one of them has, and how it is called.

    A subclass declares `name: Literal[...]` and implements `token_loss`.
    """

    cuts: ClassVar[bool] = False
    """Whether it cuts the gradient of some tokens off."""

    aggregate: Aggregate = "token-mean"
    """How token losses become one: the mean over all tokens of the minibatch (DAPO,
    arXiv:2503.14476); the mean over rows of the sum (`seq-mean-token-sum`) or of the mean over
    their tokens (GRPO, arXiv:2402.03300); the sum over `length` (Dr.GRPO, arXiv:2503.20783). A row
    whose advantages are all 0 is in no minibatch, so that means are over fewer tokens and rows than
    in the sources."""
    length: int | None = Field(default=None, ge=1)
    """The constant that `seq-mean-token-sum-norm` divides by, such as rows times the most tokens."""
    entropy_bonus: float = Field(default=0.0, ge=0)
    """Weight of the entropy, which is maximised; token entropies become one as `aggregate` says."""
    kl_penalty: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the policy that training began with, of tokens made one as
    `aggregate` says; 0 keeps no copy of that policy."""
    kl_estimator: Literal["k1", "k2", "k3", "abs"] = "k3"
    """Of a token's divergence, from d = log of the reference over the policy: -d, d^2 / 2,
    exp(d) - d - 1, |d|. Source: Schulman, "Approximating KL divergence", 2020. As a penalty, over
    samples of the policy, only k2 has the gradient of KL(policy || reference) in the mean; k1's is
    0, k3's that of KL(reference || policy), abs's that of the sum of |policy - reference|."""
    correction: AnyCorrection = NoCorrection()
    """What tokens weigh where the engine that sampled and the trainer differ in their numbers."""

    @model_validator(mode="after")
    def _length_where_it_is_needed(self) -> Self:
        if (self.aggregate == "seq-mean-token-sum-norm") != (self.length is not None):
            raise ValueError(
                "`length` goes with aggregate = seq-mean-token-sum-norm, and only there"
            )
        return self

    @property
    def reaches_all(self) -> bool:
        """Whether a token without an advantage has a gradient too."""
        return self.entropy_bonus > 0 or self.kl_penalty > 0

    def doubts(self) -> list[str]:
        """Return what of these settings will run and hardly be what was meant."""
        if self.kl_penalty and self.kl_estimator == "k1":
            return [
                "the gradient of loss.kl_estimator = k1 is 0 in the mean, so that loss.kl_penalty "
                "adds noise and holds nothing; set loss.kl_estimator to k2, whose gradient is that "
                "of the KL"
            ]
        return []

    @abstractmethod
    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Return the loss of each token of a micro-batch; see `__call__`."""

    def __call__(
        self, logprobs: "Tensor", batch: "Batch", *, normalizer: Normalizer, entropy: "Tensor"
    ) -> LossOutput:
        """Return the loss of a micro-batch.

        `logprobs` and `entropy` are [B, T] under the present weights and 0 where `loss_mask` is
        False; `normalizer` is of the whole minibatch.
        """
        token = self.token_loss(logprobs, batch)
        share = self._shares(batch.loss_mask, normalizer)
        correction = self.correction(batch, logprobs.detach())
        weights = share * correction
        clipped = batch.loss_mask & (False if token.clipped is None else token.clipped)
        policy_loss = (token.loss * weights).masked_fill(~batch.loss_mask, 0.0).sum()
        extra, totals = self._regularise(logprobs, batch, share, entropy)
        drift = log_ratio(logprobs, batch).detach()
        totals |= {
            "clip_fraction": clipped.sum(),
            "approx_kl": (drift.exp() - drift - 1).sum(),
            **self._corrected(correction, batch.loss_mask),
        }
        metrics = {name: total / normalizer.tokens for name, total in totals.items()}
        metrics["policy_loss"] = policy_loss.detach()
        return LossOutput(policy_loss + extra, metrics, clipped, weights)

    def _shares(self, mask: "Tensor", normalizer: Normalizer) -> "Tensor":
        """Return what each token counts, [B, T]; 0 where masked out."""
        if self.aggregate == "token-mean":
            return mask / normalizer.tokens
        if self.aggregate == "seq-mean-token-sum-norm":
            assert self.length is not None, "the validator sees to it"
            return mask / float(self.length)
        if self.aggregate == "seq-mean-token-sum":
            return mask / normalizer.rows
        return mask / (mask.sum(dim=1, keepdim=True).clamp(min=1) * normalizer.rows)

    def _regularise(
        self, logprobs: "Tensor", batch: "Batch", share: "Tensor", entropy: "Tensor"
    ) -> "tuple[Tensor, dict[str, Tensor]]":
        """Return the terms that all losses have, and the sums over tokens of what is in them."""
        totals = {"entropy": entropy.detach().sum()}
        loss = -self.entropy_bonus * (entropy * share).sum()
        if self.kl_penalty:
            divergence = self._divergence(logprobs, batch)
            totals["kl_reference"] = divergence.detach().sum()
            loss = loss + self.kl_penalty * (divergence * share).sum()
        return loss, totals

    def _corrected(self, weights: "Tensor | float", mask: "Tensor") -> "dict[str, Tensor]":
        """Return the sums over tokens of what the correction did to them."""
        if isinstance(weights, float):
            return {}
        return {
            "correction/weight": weights.sum(),
            "correction/dropped": ((weights == 0) & mask).sum(),
            "correction/bounded": (self.correction.bounded(weights) & mask).sum(),
        }

    def _divergence(self, logprobs: "Tensor", batch: "Batch") -> "Tensor":
        assert batch.reference_logprobs is not None, "the trainer fills this in"
        gap = (batch.reference_logprobs - logprobs).masked_fill(~batch.loss_mask, 0.0)
        gap = gap.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        if self.kl_estimator == "k1":
            return -gap
        if self.kl_estimator == "k2":
            return gap.square() / 2
        if self.kl_estimator == "abs":
            return gap.abs()
        return gap.exp() - gap - 1


def row_mean(values: "Tensor", mask: "Tensor") -> "Tensor":
    """Return the mean over the tokens of each row, [B, 1], of values that are 0 in the mask."""
    return values.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def log_ratio(logprobs: "Tensor", batch: "Batch") -> "Tensor":
    """Return the log of the new over the old probability of each token, [B, T]; 0 in the mask."""
    gap = (logprobs - batch.old_logprobs).masked_fill(~batch.loss_mask, 0.0)
    return gap.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
