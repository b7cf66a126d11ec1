"""Other rewards for the steps that a run was trained on, from their raw terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.store.notes import NewNoteWriter
from agentgym.table import Floats, Ints, StepTable
from agentgym.trainers.agreement import Agreement, agreement, correlation, per_step
from agentgym.trainers.compare import Difference, paired_means
from agentgym.trainers.credit.base import CreditConfig, equal_groups
from agentgym.trainers.recompute import Update, check_sound, label_of, read_updates, same_bits
from agentgym.trainers.recredit import OnUpdate
from agentgym.trainers.shaping.base import ShaperConfig, missing_terms
from agentgym.types import OUTCOME

KIND = "rewards"
PRODUCER = "rescore"


@dataclass(kw_only=True, eq=False)
class Rescored:
    """What one shaper paid for the steps of a run."""

    label: str
    shaping: ShaperConfig
    same: int = 0
    """Optimiser steps whose rewards are those trained on, to the last bit."""
    noted: int = 0
    """Notes that were written."""
    inverted: int = 0
    """Pairs of a group in which the worse outcome was paid more."""
    by_step: dict[str, list[float]] = field(default_factory=lambda: {"reward": [], "equal": []})
    """`reward`, the mean return, and `equal`, the share of groups whose returns are all equal."""
    gates: dict[str, list[float]] = field(default_factory=dict)
    """By the term that is gated: the share of it that counted, the mean of each optimiser step."""
    returns: list[Floats] = field(default_factory=list)
    """Of each optimiser step, [M]."""
    advantages: list[Floats] = field(default_factory=list)
    """Of each optimiser step, [S], by the estimator of the training; empty: it needs a column."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rescore:
    """Several shapers on the same steps; the first is the record, of the one trained with."""

    steps: list[int]
    """The optimiser steps, counted from 1."""
    outcomes: Floats
    """The raw verdict on each trajectory, over all optimiser steps."""
    group: Ints
    """The number of each trajectory's group."""
    pairs: int
    """Pairs of a group with different outcomes."""
    shapers: list[Rescored]
    terms: set[str]
    """The raw terms that any of the steps has."""

    def missing(self, found: Rescored) -> list[str]:
        """Return the terms that a shaper looks at and no step has: they pay 0."""
        return missing_terms(found.shaping, self.terms)

    def returns(self, found: Rescored) -> Floats:
        """Return what each trajectory was paid."""
        return np.concatenate(found.returns)

    def with_outcome(self, found: Rescored) -> float:
        """Return how returns and outcomes correlate; NaN where one does not vary."""
        return correlation(self.returns(found), self.outcomes)

    def difference(self, found: Rescored) -> Difference:
        """Return how much more than trained on it pays, the unit of chance being the group."""
        a, b = (self.returns(each)[:, None] for each in (self.shapers[0], found))
        return paired_means(a, b, self.group)[0]

    def agreement(self, found: Rescored) -> Agreement | None:
        """Compare the advantages that its rewards lead to with those trained on."""
        if not found.advantages:
            return None
        mine, its = (np.concatenate(each.advantages) for each in (self.shapers[0], found))
        return agreement(mine, its)


def rescore(
    run_dir: str | Path,
    shapers: Mapping[str, ShaperConfig],
    *,
    trained: ShaperConfig,
    credit: CreditConfig,
    last: int | None = None,
    notes: NewNoteWriter | None = None,
    on_update: OnUpdate = lambda _: None,
) -> Rescore:
    """Shape the recorded terms anew; schedules stand where they stood at each optimiser step.

    Each result is noted as soon as it is there, so that an interrupt loses none.

    Args:
        run_dir: a run with optimiser steps.
        shapers: shapers by their labels.
        trained: the shaper of the training: whether it gives the recorded numbers is told, and
            what all are compared with are those recorded.
        credit: the estimator of the training, which turns the new rewards into advantages.
        last: how many optimiser steps, the newest ones; None: all.
        notes: where results go beside the episodes; None: nowhere.
        on_update: hears of every optimiser step.

    Raises:
        StoreError: the record is not whole, or a note cannot be written.
    """
    found = [Rescored(label="trained", shaping=trained)]
    found += [Rescored(label=label, shaping=shaping) for label, shaping in shapers.items()]
    steps, outcomes, group = [], [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    pairs = num_groups = 0
    terms: set[str] = set()
    for update in read_updates(run_dir, last=last):
        check_sound(update, where=str(run_dir))
        table = update.table
        terms.update(table.term_names)
        verdicts = table.per_trajectory(table.term(OUTCOME))
        found[0].same += same_bits(update.shape(trained).rewards, update.rewards)
        _add(found[0], table, verdicts, update.rewards, _recorded_gates(update))
        found[0].advantages.append(per_step(update.advantages, table))
        for each in found[1:]:
            _try(each, update, verdicts, credit, notes)
        pairs += count_pairs(verdicts, verdicts, table.group)
        steps.append(update.number)
        outcomes.append(verdicts)
        group.append(table.group + num_groups)
        num_groups += table.num_groups
        on_update(update.number)
    return Rescore(
        steps=steps,
        outcomes=np.concatenate(outcomes),
        group=np.concatenate(group),
        pairs=pairs,
        shapers=found,
        terms=terms,
    )


def count_pairs(better: Floats, higher: Floats, group: Ints) -> int:
    """Count the pairs of a group whose first is above the second in both columns [M].

    >>> count_pairs(np.array([1.0, 0.0, 0.0]), np.array([-0.5, 0.1, -1.0]) * -1, np.zeros(3, int))
    1
    """
    count = 0
    for number in range(int(group.max(initial=-1)) + 1):
        a, b = better[group == number], higher[group == number]
        count += int(((a[:, None] > a) & (b[:, None] > b)).sum())
    return count


def _try(
    found: Rescored,
    update: Update,
    verdicts: Floats,
    credit: CreditConfig,
    notes: NewNoteWriter | None,
) -> None:
    table = update.table
    shaped = update.shape(found.shaping)
    found.same += same_bits(shaped.rewards, update.rewards)
    _add(found, table, verdicts, shaped.rewards, dict(shaped.gates))
    columns: dict[str, NDArray[Any]] = {
        "step_start": table.step_start,
        "token_start": table.token_start,
        "rewards": shaped.rewards,
        **{f"shaped/{name}": values for name, values in shaped.terms.items()},
        **{f"gate/{name}": values for name, values in shaped.gates.items()},
    }
    if not credit.missing_columns(table):
        advantages = credit(table, shaped.rewards)
        columns["advantages"] = advantages
        found.advantages.append(per_step(advantages, table))
    if notes is not None:
        found.noted += notes.add(_payload(found, credit, update), columns)


def _add(
    found: Rescored,
    table: StepTable,
    verdicts: Floats,
    rewards: Floats,
    gates: Mapping[str, Floats],
) -> None:
    returns = table.per_trajectory(rewards)
    found.returns.append(returns)
    found.inverted += count_pairs(verdicts, -returns, table.group)
    found.by_step["reward"].append(float(returns.mean()))
    found.by_step["equal"].append(float(equal_groups(table, rewards).mean()))
    for name, values in gates.items():
        found.gates.setdefault(name, []).append(float(values.mean()))


def _recorded_gates(update: Update) -> dict[str, Floats]:
    names = [name for name in update.columns if name.startswith("gate/")]
    return {name.removeprefix("gate/"): update.columns[name] for name in names}


def _payload(found: Rescored, credit: CreditConfig, update: Update) -> dict[str, Any]:
    return {
        "step": update.step,
        "label": label_of(found.shaping),
        "shaping": found.shaping.model_dump(mode="json"),
        "credit": credit.model_dump(mode="json"),
        "trajectories": list(update.table.trajectory_ids),
    }
