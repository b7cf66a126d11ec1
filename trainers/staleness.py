"""How much older than the policy that is trained the one is that sampled. Nothing here needs torch."""

from collections.abc import Sequence

import numpy as np

from agentgym.table import Ints
from agentgym.types import Completion, Trajectory


def staleness(trajectories: Sequence[Trajectory], *, version: int) -> Ints:
    """Return by how many versions each sampled token is older than `version`, [N].

    The tokens stand in the order of the table, whose trajectories these are.
    """
    sampled = [
        _versions(step.completion)
        for trajectory in trajectories
        for step in trajectory.steps
        if step.completion is not None
    ]
    return version - np.concatenate([np.zeros(0, dtype=np.int64), *sampled])


def describe_staleness(found: Ints) -> dict[str, float]:
    """Return mean, maximum, and the share of tokens that are stale at all."""
    if not len(found):
        return {}
    return {
        "staleness/mean": float(found.mean()),
        "staleness/max": float(found.max()),
        "staleness/share": float((found > 0).mean()),
    }


def _versions(completion: Completion) -> Ints:
    """Return the version of each token, [C]."""
    first = np.array([token for token, _ in completion.versions])
    version = np.array([version for _, version in completion.versions], dtype=np.int64)
    token = np.arange(len(completion.token_ids))
    return version[np.searchsorted(first, token, side="right") - 1]
