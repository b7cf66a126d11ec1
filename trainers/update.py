"""One optimiser step's rows become new weights: minibatches, micro-batches, AdamW."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agentgym.errors import AgentGymError
from agentgym.trainers.batch import Batch, pad
from agentgym.trainers.causes import Cause
from agentgym.trainers.interrupt import Interrupted
from agentgym.trainers.losses import Loss, LossOutput, Normalizer
from agentgym.trainers.policy import TokenStats, TrainerPolicy
from agentgym.trainers.rows import Row, Rows, split_rows
from agentgym.trainers.settings import OptimConfig, TrainConfig
from agentgym.trainers.updated import Updated


def make_optimizer(policy: TrainerPolicy, config: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW over the policy; only matrices decay."""
    matrices = [each for each in policy.parameters() if each.dim() >= 2]
    others = [each for each in policy.parameters() if each.dim() < 2]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups,
        lr=config.lr,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )


def take_step(
    optimizer: torch.optim.Optimizer, policy: TrainerPolicy, *, lr: float, grad_clip: float
) -> float:
    """Clip the gradients, move the weights, and return the norm there was.

    Raises:
        AgentGymError: a gradient is not finite; the weights are untouched.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(list(policy.parameters()), grad_clip))
    if not math.isfinite(norm):
        raise AgentGymError(
            f"the norm of the gradient is {norm}",
            hint="lower optim.lr and resume from the last checkpoint",
        )
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
    return norm


class Updater:
    """Holds the optimizer and, where the loss asks for one, the frozen reference."""

    def __init__(
        self, policy: TrainerPolicy, *, loss: Loss, optim: OptimConfig, train: TrainConfig
    ) -> None:
        self.policy = policy
        self.optimizer = make_optimizer(policy, optim)
        self.reference: TrainerPolicy | None = None
        """What the KL is measured from; needed where `loss.kl_penalty` is not 0."""
        self.stop = Event()
        """Set from another thread to end an update half way; the policy is of no use then."""
        self._loss = loss
        self._optim = optim
        self._train = train

    def update(self, rows: Rows, *, lr: float, seed: int) -> Updated:
        """Train on rows and return what happened to each token; no rows, no change.

        Raises:
            Interrupted: `stop` was set.
        """
        num_tokens = len(rows.cause)
        updated = Updated(
            metrics={},
            logprobs=np.full(num_tokens, np.nan, dtype=np.float32),
            weights=np.zeros(num_tokens, dtype=np.float32),
            cause=rows.cause.copy(),
        )
        sums: defaultdict[str, list[float]] = defaultdict(list)
        for minibatch in self._minibatches(self._corrected(rows.rows), seed=seed):
            for name, value in self._accumulate(minibatch, updated).items():
                sums[name].append(value)
            norm = take_step(self.optimizer, self.policy, lr=lr, grad_clip=self._optim.grad_clip)
            sums["grad_norm"].append(norm)
        updated.metrics.update({name: sum(each) / len(each) for name, each in sums.items()})
        if sums:
            # Before the first minibatch has moved the weights the two should be one policy.
            updated.metrics["logprob_gap"] = sums["logprob_gap"][0]
        return updated

    def _corrected(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Take the trainer's own log-probabilities for the old ones, where the loss compares them."""
        if self._loss.correction.name == "none":
            return rows
        corrected = []
        for part in split_rows(rows, max_tokens=self._train.max_tokens_per_micro_batch):
            batch = pad(part, device=self.policy.device)
            with torch.no_grad():
                stats = self.policy.stats(batch.token_ids, batch.loss_mask, entropy_grad=False)
            for row, logprobs in zip(part, stats.logprobs.float().cpu().numpy(), strict=True):
                own = logprobs[: len(row.token_ids)]
                sampled = row.old_logprobs
                corrected.append(replace(row, old_logprobs=own, rollout_logprobs=sampled))
        return corrected

    def _minibatches(self, rows: Sequence[Row], *, seed: int) -> Iterator[list[Row]]:
        for part in self._train.cut(len(rows), seed=seed):
            yield [rows[index] for index in part]

    def _accumulate(self, minibatch: Sequence[Row], updated: Updated) -> dict[str, float]:
        """Add up the gradients of a minibatch; the cut into micro-batches changes nothing."""
        num_trained = float(sum(row.num_trained for row in minibatch))
        normalizer = Normalizer(tokens=num_trained, rows=float(len(minibatch)))
        sums: defaultdict[str, Tensor | float] = defaultdict(float)
        for rows in split_rows(minibatch, max_tokens=self._train.max_tokens_per_micro_batch):
            if self.stop.is_set():
                raise Interrupted
            batch = self._with_reference(pad(rows, device=self.policy.device))
            stats = self.policy.stats(
                batch.token_ids, batch.loss_mask, entropy_grad=self._loss.entropy_bonus > 0
            )
            out = self._loss(stats.logprobs, batch, normalizer=normalizer, entropy=stats.entropy)
            out.loss.backward()  # type: ignore[no-untyped-call]
            for name, value in {
                **out.metrics,
                "loss": out.loss.detach(),
                "logprob_gap": _gap(stats, batch) / num_trained,
            }.items():
                sums[name] += value
            self._note_tokens(updated, batch, stats, out)
        return {name: float(value) for name, value in sums.items()}

    def _with_reference(self, batch: Batch) -> Batch:
        if self.reference is None:
            return batch
        with torch.no_grad():
            stats = self.reference.stats(batch.token_ids, batch.loss_mask, entropy_grad=False)
        return replace(batch, reference_logprobs=stats.logprobs)

    def _note_tokens(
        self, updated: Updated, batch: Batch, stats: TokenStats, out: LossOutput
    ) -> None:
        """Write down what the last pass over these tokens did to them."""
        mask = batch.loss_mask
        token = batch.token[mask].cpu().numpy()
        cut, weight = out.clipped[mask].cpu().numpy(), out.weights[mask].cpu().numpy()
        cause = np.where(cut, Cause.CLIPPED, np.where(weight == 0, Cause.DROPPED, Cause.TRAINED))
        if not self._loss.reaches_all:
            idle = (batch.advantages[mask] == 0).cpu().numpy()
            cause = np.where(idle, Cause.ZERO_ADVANTAGE, cause)
        updated.logprobs[token] = stats.logprobs.detach()[mask].cpu().numpy()
        updated.weights[token] = np.where(cause == Cause.TRAINED, weight, 0.0)
        updated.cause[token] = cause


def _gap(stats: TokenStats, batch: Batch) -> Tensor:
    """Return how far the trainer's log-probabilities are from the engine's, over all tokens."""
    sampled = batch.old_logprobs if batch.rollout_logprobs is None else batch.rollout_logprobs
    return (stats.logprobs.detach() - sampled).abs().sum()
