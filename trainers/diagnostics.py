"""Where the signal of an optimiser step is, and where it is lost; numbers for the log.

Pure functions of the table and of what was made of it, so that they can be asked of a record too.
Every number is finite; shares are of 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.table import Bools, Floats, StepTable
from agentgym.trainers.agreement import per_step
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import CreditConfig, equal_groups, number_states

Causes = NDArray[np.integer[Any]]
"""[N], a `Cause` for each sampled token."""

_SIZES = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))


def diagnose(
    credit: CreditConfig, table: StepTable, rewards: Floats, advantages: Floats, cause: Causes
) -> dict[str, float]:
    """Return everything below.

    Args:
        credit: the estimator that gave the advantages.
        table: the steps.
        rewards: [S], shaped.
        advantages: [S] or [N].
        cause: [N], of each sampled token.
    """
    return {
        **anchors(table),
        **signal(table, rewards, advantages),
        **step_against_episode(credit, table, rewards, advantages),
        **tokens_by_cause(cause),
    }


def anchors(table: StepTable) -> dict[str, float]:
    """Return how large the groups of steps taken from one state of one task are.

    A step without a state key is alone. `anchors/size` is the mean size of a group,
    `anchors/singletons` the share of steps that are alone in theirs, to which step-level credit
    has nothing to add; `anchors/steps_A_B` the share of steps in groups of A to B.
    """
    groups = number_states(table)
    sizes = np.bincount(groups)
    own = sizes[groups]
    shares = {
        f"anchors/steps_{low}" + (f"_{high}" if high else "_up"): _share(
            (own >= low) & (own <= (high or table.num_steps))
        )
        for low, high in _SIZES[1:]
    }
    return {
        "anchors/groups": float(len(sizes)),
        "anchors/size": float(sizes.mean()) if len(sizes) else 0.0,
        "anchors/largest": float(sizes.max(initial=0)),
        "anchors/singletons": _share(own == 1),
        "anchors/without_key": _share(table.state < 0),
        **shares,
    }


def signal(table: StepTable, rewards: Floats, advantages: Floats) -> dict[str, float]:
    """Return which share of groups, trajectories and steps teaches anything.

    `signal/groups` is the share of groups whose returns differ; of the others, those of one
    trajectory are `signal/single_groups`. `signal/trajectories` and `signal/steps` have an
    advantage that is not 0 in any of their tokens.
    """
    taught = per_step(np.abs(advantages), table) > 0
    rows = np.bincount(table.trajectory, weights=taught, minlength=table.num_trajectories)
    return {
        "signal/groups": _share(~equal_groups(table, rewards)),
        "signal/single_groups": _share(np.bincount(table.group) == 1),
        "signal/trajectories": _share(rows > 0),
        "signal/steps": _share(taught),
    }


def step_against_episode(
    credit: CreditConfig, table: StepTable, rewards: Floats, advantages: Floats
) -> dict[str, float]:
    """Return the mean sizes of the two terms of advantages, and the share of the step's.

    The episode's term is what the estimator's `base` gives; where it has none, the mean of each
    trajectory's advantages. The step's term is the rest.
    """
    steps = per_step(advantages, table)
    base = getattr(credit, "base", None)
    if isinstance(base, CreditConfig):
        episode = per_step(base(table, rewards), table)
    else:
        means = table.per_trajectory(steps) / np.maximum(table.lengths, 1)
        episode = means[table.trajectory]
    whole, part = _mean(np.abs(episode)), _mean(np.abs(steps - episode))
    return {
        "credit/episode": whole,
        "credit/step": part,
        "credit/step_share": part / (whole + part) if part else 0.0,
    }


def tokens_by_cause(cause: Causes) -> dict[str, float]:
    """Return the share of the sampled tokens that carried gradient, and of the rest by cause."""
    return {f"tokens/{each.name.lower()}": _share(cause == each) for each in Cause}


def _share(values: Bools) -> float:
    return _mean(values.astype(np.float64))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
