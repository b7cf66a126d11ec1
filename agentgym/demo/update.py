"""What an update would have done to each token: PPO's clip and a rejection, by their rules in numpy.

Only how far the weights moved is pretended.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentgym.table import Bools
from agentgym.trainers.causes import Cause
from agentgym.trainers.losses import PPO
from agentgym.trainers.losses.corrections import Rejection
from agentgym.trainers.rows import Row, Rows, split_rows
from agentgym.trainers.settings import TrainConfig
from agentgym.trainers.updated import Updated
from agentgym.types import derive_seed

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]

_NOISE = 0.02  # nats between engine and trainer, as in bfloat16
_ODD_SHARE = 0.015  # of the tokens, far less likely in the trainer: these are dropped
_ODD_GAP = 1.2
_DIGITS = 9  # of what is logged: in the last ones of all processors differ
_DRIFT = 0.13  # nats that a minibatch moves the policy


class Judged(NamedTuple):
    """What a loss makes of the tokens of a row, [L]."""

    clipped: Bools
    weights: Float32s
    losses: Float64s


def pretend_update(rows: Rows, *, loss: PPO, train: TrainConfig, seed: int, lr: float) -> Updated:
    """Return what happened to each token, and the numbers that an update logs.

    `seed` cuts the minibatches as the trainer does; `loss` corrects by a `Rejection`.
    """
    num_tokens = len(rows.cause)
    updated = Updated(
        metrics={},
        logprobs=np.full(num_tokens, np.nan, dtype=np.float32),
        weights=np.zeros(num_tokens, dtype=np.float32),
        cause=rows.cause.copy(),
    )
    chance = np.random.default_rng(derive_seed("update", seed))
    parts = split_rows(rows.rows, max_tokens=train.max_tokens_per_micro_batch)
    corrected = [_corrected(row, chance) for part in parts for row in part]  # the longest first
    sums: list[dict[str, float]] = []
    for number, part in enumerate(train.cut(len(corrected), seed=seed)):
        minibatch = [corrected[index] for index in part]
        tokens = sum(row.num_trained for row in minibatch)
        totals = dict.fromkeys(_METRICS, 0.0)
        for row in minibatch:
            now = _moved(row, chance, by=_DRIFT * (number > 0))
            found = judge(loss, row, now, tokens=tokens)
            _note(updated, row, now, found)
            for name, value in _totals(row, now, found).items():
                totals[name] += value
        sums.append({name: value / tokens for name, value in totals.items()})
    means = {key: float(np.mean([each[key] for each in sums])) for key in _METRICS}
    means["logprob_gap"] = sums[0]["logprob_gap"]
    updated.metrics.update({key: round(value, _DIGITS) for key, value in means.items()})
    updated.metrics["loss"] = updated.metrics["policy_loss"]
    updated.metrics["grad_norm"] = float(0.4 + 0.3 * chance.random()) * (lr > 0)
    return updated


def judge(loss: PPO, row: Row, now: Float32s, *, tokens: int) -> Judged:
    """Return what PPO with a rejection makes of a row, given the log-probabilities after moves.

    `tokens` is how many the minibatch has.
    """
    correction = loss.correction
    assert isinstance(correction, Rejection), "the demo is configured so"
    assert row.rollout_logprobs is not None, "it was corrected"
    mask = row.loss_mask
    off = _exp(np.where(mask, row.old_logprobs - row.rollout_logprobs, 0))
    kept = mask & (off >= correction.low) & (off <= correction.high)
    ratio = _exp(np.where(mask, now - row.old_logprobs, 0))
    bounded = ratio.clip(1 - loss.clip_low, 1 + loss.clip_high)
    free, bound = -ratio * row.advantages, -bounded * row.advantages
    weights = (kept / np.float32(tokens)).astype(np.float32)
    return Judged(mask & (bound > free), weights, np.maximum(free, bound))


def _exp(values: Float32s) -> Float64s:
    """Return e to the values as precisely as all processors do it: their float32 differs."""
    return np.exp(values.astype(np.float64))


def _corrected(row: Row, chance: np.random.Generator) -> Row:
    """Give a row the trainer's own log-probabilities before the update."""
    size = len(row.token_ids)
    noise = chance.normal(0, _NOISE, size) - _ODD_GAP * (chance.random(size) < _ODD_SHARE)
    own = np.minimum(row.old_logprobs + noise, 0) * row.loss_mask
    return replace(row, old_logprobs=own.astype(np.float32), rollout_logprobs=row.old_logprobs)


def _moved(row: Row, chance: np.random.Generator, *, by: float) -> Float32s:
    """Return log-probabilities after a move towards the advantages, and some noise."""
    step = by * (np.sign(row.advantages) + chance.normal(0, 1, len(row.token_ids)))
    return (np.minimum(row.old_logprobs + step, 0) * row.loss_mask).astype(np.float32)


def _note(updated: Updated, row: Row, now: Float32s, found: Judged) -> None:
    """Write down what became of the tokens, as `Updater` does."""
    mask, token = row.loss_mask, row.token[row.loss_mask]
    weight = found.weights[mask]
    cause = np.where(weight == 0, Cause.DROPPED, Cause.TRAINED)
    cause = np.where(found.clipped[mask], Cause.CLIPPED, cause)
    cause = np.where(row.advantages[mask] == 0, Cause.ZERO_ADVANTAGE, cause)
    updated.logprobs[token] = now[mask]
    updated.weights[token] = np.where(cause == Cause.TRAINED, weight, 0.0)
    updated.cause[token] = cause


_METRICS = (
    "policy_loss",
    "entropy",
    "clip_fraction",
    "approx_kl",
    "correction/weight",
    "correction/dropped",
    "logprob_gap",
)


def _totals(row: Row, now: Float32s, found: Judged) -> dict[str, float]:
    """Return the sums over the tokens of a row of what is logged as means."""
    mask, kept = row.loss_mask, found.weights > 0
    assert row.rollout_logprobs is not None, "it was corrected"
    drift = (now - row.old_logprobs)[mask]
    values = {
        "policy_loss": found.losses[kept],
        "entropy": -now[mask],
        "clip_fraction": found.clipped[mask],
        "approx_kl": _exp(drift) - drift - 1,
        "correction/weight": kept[mask],
        "correction/dropped": ~kept[mask],
        "logprob_gap": np.abs(now - row.rollout_logprobs)[mask],
    }
    return {name: float(each.sum()) for name, each in values.items()}
