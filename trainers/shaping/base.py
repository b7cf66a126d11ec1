"""What shapers are made of: the table, and reward terms put on its steps.

A shaper file imports this module, and of the framework otherwise only other shaper files.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from agentgym.errors import ConfigError
from agentgym.store.address import address_of
from agentgym.table import Bools, Floats, Ints, StepTable
from agentgym.types import OUTCOME

__all__ = [
    "OUTCOME",
    "Bools",
    "Floats",
    "Ints",
    "Scope",
    "Shaped",
    "ShaperConfig",
    "StepTable",
    "WeightedTerm",
    "at_the_end",
    "column",
    "is_last",
    "missing_terms",
    "shape",
    "totals",
]

_COUNTED = ("num_tokens", "num_steps")
_LARGEST = 1e30  # squares of it still add up in float64, and it fits into float32

Scope = Literal["trajectory", "step"]
"""Where a term is paid."""


class Shaped(NamedTuple):
    """What a shaper made of a table."""

    rewards: Floats
    """[S]"""
    gates: Mapping[str, Floats]
    """By the term that is gated: [M], the share of it that counts, 0 (closed) to 1 (open)."""
    terms: Mapping[str, Floats]
    """By term: [S], its part of the rewards, which are the sum of these in this order."""


class ShaperConfig(BaseModel, ABC, extra="forbid", frozen=True):
    """A shaper: its settings, and a pure function from the raw terms of a table to rewards.

    A subclass declares `name: Literal[...]`.
    """

    @abstractmethod
    def __call__(self, table: StepTable, *, progress: float, competence: float = 0.0) -> Shaped:
        """Return a reward for each step.

        Args:
            table: the steps and their raw reward terms.
            progress: share of the training that is done, 0 to 1, for schedules.
            competence: share of recent episodes that succeeded, 0 to 1, for schedules.
        """

    @property
    def needs(self) -> tuple[str, ...]:
        """The raw terms that it looks at, each once."""
        return ()

    @property
    def follows_progress(self) -> bool:
        """Whether it pays otherwise as the share of the steps that are done grows."""
        return False


class WeightedTerm(BaseModel, extra="forbid", frozen=True):
    """A reward term, how much it counts and where it is paid."""

    term: str = Field(min_length=1)
    """Its name; a term that no step of a batch has is 0 there. `num_tokens` (sampled by the
    policy) and `num_steps` are counted, whatever environments call their terms."""
    weight: float = Field(default=1.0, allow_inf_nan=False)
    """What its values are multiplied by."""
    scope: Scope = "trajectory"
    """`step`: paid at the steps that earned it; `trajectory`: their sum at the last step."""


def shape(shaper: ShaperConfig, table: StepTable, *, run: Path | None = None, **now: Any) -> Shaped:
    """Return what a shaper makes of a table; `now` are the schedules that it takes.

    `run` is where the episodes are recorded, if they are.

    Raises:
        ConfigError: a reward is so large, or no number, that nothing can be computed with it.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # told below, with the term
        shaped = shaper(table, **now)
    for name, values in shaped.terms.items():
        wrong = np.flatnonzero(~(np.abs(values) <= _LARGEST))
        if len(wrong):
            row = int(wrong[0])
            episode = table.trajectory_ids[table.trajectory[row]]
            place = address_of(run or "RUN", episode, int(table.step[row]))
            raise ConfigError(
                f"the term {name!r} pays {values[row]:g} at step {table.step[row]} of {episode}; "
                f"expected is a number between -{_LARGEST:g} and {_LARGEST:g}",
                hint=f"lower its weight under [shaping]; agentgym show {place} has what the "
                "environment gave",
            )
    return shaped


def missing_terms(shaper: ShaperConfig, known: Collection[str]) -> list[str]:
    """Return the terms that a shaper looks at and that are neither known nor counted."""
    return [name for name in shaper.needs if name not in known and name not in _COUNTED]


def column(table: StepTable, name: str) -> Floats:
    """Return a term, or what the table can count, as [S]."""
    if name == "num_tokens":
        return np.diff(table.token_start).astype(np.float64)
    if name == "num_steps":
        return np.ones(table.num_steps)
    return table.term(name)


def totals(table: StepTable, name: str) -> Floats:
    """Return the raw sum of a term over each trajectory, [M]; what gates look at."""
    return table.per_trajectory(column(table, name))


def at_the_end(table: StepTable, values: Floats) -> Floats:
    """Put a value of each trajectory [M] on its last step, giving [S]."""
    rewards = np.zeros(table.num_steps)
    rewards[table.step_start[1:] - 1] = values
    return rewards


def is_last(table: StepTable) -> Bools:
    """Return whether a step is the last of its trajectory, [S]."""
    return np.asarray(table.step == table.lengths[table.trajectory] - 1)
