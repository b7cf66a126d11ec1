"""Other estimators on the steps that a run was trained on, without its model."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.store.notes import NewNoteWriter
from agentgym.table import Floats, Ints
from agentgym.trainers.agreement import Agreement, Spread, agreement, per_step, spread
from agentgym.trainers.compare import Difference, paired_means
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.recompute import (
    Update,
    check_columns,
    check_sound,
    label_of,
    read_updates,
    same_bits,
)

KIND = "credit"
PRODUCER = "recredit"

OnUpdate = Callable[[int], None]
"""(optimiser step that is done, counted from 1)"""


@dataclass(kw_only=True, eq=False)
class Recredited:
    """What one estimator made of the steps of a run."""

    label: str
    credit: CreditConfig
    seconds: float = 0.0
    """Inside the estimator."""
    same: int = 0
    """Optimiser steps whose advantages are those trained on, to the last bit."""
    noted: int = 0
    """Notes that were written."""
    by_step: dict[str, list[float]] = field(default_factory=lambda: {"coverage": [], "rank": []})
    """`coverage`, and the rank correlation with the trained advantages, per optimiser step."""
    values: list[Floats] = field(default_factory=list)
    """Of each optimiser step, [S]."""

    @property
    def advantages(self) -> Floats:
        """Those of all steps."""
        return np.concatenate(self.values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recredit:
    """Several estimators on the same steps; the first is the record, of the one trained with."""

    steps: list[int]
    """The optimiser steps, counted from 1."""
    trajectory: Ints
    """Number of each step's trajectory, over all optimiser steps."""
    group: Ints
    """Number of each step's group."""
    estimators: list[Recredited]

    def spread(self, found: Recredited) -> Spread:
        """Describe one estimator."""
        return spread(found.advantages, self.trajectory)

    def agreement(self, found: Recredited) -> Agreement:
        """Compare one with what was trained on."""
        return agreement(self.estimators[0].advantages, found.advantages)

    def differences(self, found: Recredited) -> dict[str, Difference]:
        """Return what it gives more than was trained on, the unit of chance being the group."""
        a, b = (
            np.stack([each != 0, np.abs(each)], axis=1).astype(np.float64)
            for each in (self.estimators[0].advantages, found.advantages)
        )
        means = paired_means(a, b, self.group)
        return dict(zip(("coverage", "mean_abs"), means, strict=True))


def recredit(
    run_dir: str | Path,
    credits: Mapping[str, CreditConfig],
    *,
    trained: CreditConfig,
    last: int | None = None,
    notes: NewNoteWriter | None = None,
    on_update: OnUpdate = lambda _: None,
) -> Recredit:
    """Give credit anew for the rewards that were trained on.

    Each result is noted as soon as it is there, so that an interrupt loses none.

    Args:
        run_dir: a run with optimiser steps.
        credits: estimators by their labels.
        trained: the estimator of the training: whether it gives the recorded numbers is told,
            and what all are compared with are those recorded.
        last: how many optimiser steps, the newest ones; None: all.
        notes: where results go beside the episodes; None: nowhere.
        on_update: hears of every optimiser step.

    Raises:
        ConfigError: an estimator needs a column that is not in the record.
        StoreError: the record is not whole, or a note cannot be written.
    """
    found = [Recredited(label="trained", credit=trained)]
    found += [Recredited(label=label, credit=credit) for label, credit in credits.items()]
    steps, trajectory, group = [], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    num_trajectories = num_groups = 0
    for update in read_updates(run_dir, last=last):
        check_sound(update, where=str(run_dir))
        for credit in credits.values():
            check_columns(credit, update.table, where=str(run_dir))
        found[0].same += is_reproduced(trained, update)
        _add(found[0], update, update.advantages)
        for each in found[1:]:
            _try(each, update, notes)
        steps.append(update.number)
        trajectory.append(update.table.trajectory + num_trajectories)
        group.append(update.table.step_group + num_groups)
        num_trajectories += update.table.num_trajectories
        num_groups += update.table.num_groups
        on_update(update.number)
    return Recredit(
        steps=steps,
        trajectory=np.concatenate(trajectory),
        group=np.concatenate(group),
        estimators=found,
    )


def is_reproduced(credit: CreditConfig, update: Update) -> bool:
    """Return whether an estimator gives the recorded advantages, to the last bit."""
    if credit.missing_columns(update.table):
        return False
    return same_bits(credit(update.table, update.rewards), update.advantages)


def _try(found: Recredited, update: Update, notes: NewNoteWriter | None) -> None:
    began = time.perf_counter()
    advantages = found.credit(update.table, update.rewards)
    found.seconds += time.perf_counter() - began
    found.same += same_bits(advantages, update.advantages)
    if notes is not None:
        found.noted += notes.add(_payload(found, update), _columns(update, advantages))
    _add(found, update, advantages)


def _add(found: Recredited, update: Update, advantages: Floats) -> None:
    values = per_step(advantages, update.table)
    trained = per_step(update.advantages, update.table)
    found.values.append(values)
    found.by_step["coverage"].append(float((values != 0).mean()))
    found.by_step["rank"].append(agreement(trained, values).rank)


def _payload(found: Recredited, update: Update) -> dict[str, Any]:
    return {
        "step": update.step,
        "label": label_of(found.credit),
        "credit": found.credit.model_dump(mode="json"),
        "trajectories": list(update.table.trajectory_ids),
    }


def _columns(update: Update, advantages: Floats) -> dict[str, Any]:
    return {
        "step_start": update.table.step_start,
        "token_start": update.table.token_start,
        "advantages": advantages,
    }
