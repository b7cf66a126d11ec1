"""The policy-version ribbon: who sampled each step, who was trained on it, and how far apart.

Ratio and divergence are of the trainer's log-probabilities, in the pass that was recorded, over
the engine's; they are there for tokens that were trained on.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.types import Completion, Trajectory

_MAX_LOG_RATIO = 20.0  # as in the losses: exp() of more says nothing


@dataclass(frozen=True, slots=True)
class StepVersions:
    """One step of an episode."""

    sampled: tuple[int, ...]
    """Policy versions that sampled its tokens, in order; empty: no tokens."""
    switches: tuple[tuple[int, int], ...]
    """(token of the step, version from there on) where weights changed within it."""
    trained: int | None
    """The version that was trained on it; None: none was."""
    lag: int | None
    """How many versions older its oldest token is."""
    ratio: float | None
    """Mean of the trainer's probability over the engine's; None: no token was trained on."""
    kl: float | None
    """Mean of ratio - 1 - log ratio: an estimate of KL(engine's policy || trainer's), in nats."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def ribbon(
    trajectory: Trajectory,
    *,
    trained: int | None = None,
    trainer_logprobs: NDArray[np.floating[Any]] | None = None,
) -> list[StepVersions]:
    """Return the versions of each step, [T].

    Args:
        trajectory: the episode.
        trained: the version of the policy that was trained on it; None: none was.
        trainer_logprobs: of its sampled tokens, NaN where a token was not trained on; None: not
            known.
    """
    found, first = [], 0
    for step in trajectory.steps:
        stop = first + (len(step.completion.token_ids) if step.completion else 0)
        noted = None if trainer_logprobs is None else trainer_logprobs[first:stop]
        found.append(_versions(step.completion, trained, noted))
        first = stop
    return found


def _versions(
    completion: Completion | None, trained: int | None, noted: NDArray[np.floating[Any]] | None
) -> StepVersions:
    if completion is None or not completion.token_ids:
        return StepVersions((), (), trained, None, None, None)
    sampled = tuple(version for _, version in completion.versions)
    lag = None if trained is None or not sampled else trained - min(sampled)
    ratio, kl = (None, None) if noted is None else _apart(completion, noted)
    return StepVersions(sampled, completion.versions[1:], trained, lag, ratio, kl)


def _apart(
    completion: Completion, noted: NDArray[np.floating[Any]]
) -> tuple[float | None, float | None]:
    """Return mean ratio and divergence over the tokens that were trained on."""
    count = min(len(noted), len(completion.logprobs))
    log_ratio = noted[:count].astype(np.float64) - np.asarray(completion.logprobs[:count])
    log_ratio = log_ratio[np.isfinite(log_ratio)].clip(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    if not len(log_ratio):
        return None, None
    ratio = np.exp(log_ratio)
    return float(ratio.mean()), float((ratio - 1 - log_ratio).mean())
