"""Batches made by hand, and losses called on them."""

import torch

from agentgym.trainers.batch import Batch
from agentgym.trainers.losses import Normalizer


def make_batch(mask, old_logprobs, advantages, reference=None, rollout=None):
    """Batches begin with a column that nothing can predict."""
    mask, old_logprobs, advantages = (
        torch.nn.functional.pad(values, (1, 0)) for values in (mask, old_logprobs, advantages)
    )
    mask = mask.bool()
    if rollout is not None:
        rollout = torch.nn.functional.pad(rollout, (1, 0)) * mask
    if reference is not None:
        reference = torch.nn.functional.pad(reference, (1, 0))
    return Batch(
        token_ids=torch.zeros(mask.shape, dtype=torch.int64),
        loss_mask=mask,
        old_logprobs=old_logprobs * mask,
        advantages=advantages * mask,
        token=torch.full(mask.shape, -1),
        lengths=torch.full((len(mask),), mask.shape[1]),
        reference_logprobs=reference,
        rollout_logprobs=rollout,
    )


def call(loss, logprobs, batch, *, entropy=None, normalizer=None):
    logprobs = torch.nn.functional.pad(logprobs, (1, 0))
    entropy = (
        torch.zeros_like(logprobs) if entropy is None else torch.nn.functional.pad(entropy, (1, 0))
    )
    return loss(
        logprobs,
        batch,
        normalizer=normalizer
        or Normalizer(tokens=float(batch.loss_mask.sum()), rows=float(len(batch.loss_mask))),
        entropy=entropy,
    )
