"""What the checks of a run look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from agentgym.config.methods import Methods, recorded_methods
from agentgym.store.episodes import EpisodeHead, read_heads
from agentgym.store.notes import Note
from agentgym.store.run import Run
from agentgym.table import Floats
from agentgym.trainers.recompute import Update, latest_notes
from agentgym.trainers.shaping.base import Shaped


class RunSubject:
    """A run, opened once for all checks."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def heads(self) -> dict[str, EpisodeHead]:
        """The whole episodes by their ids; of several with one id the last."""
        return {head.id: head for head in read_heads(self.run.root)}

    @cached_property
    def notes(self) -> dict[int, Note]:
        """The note of each optimiser step."""
        return latest_notes(self.run.root)

    @cached_property
    def methods(self) -> Methods:
        """How it shaped and gave credit."""
        return recorded_methods(self.run.config_path)


@dataclass(frozen=True, kw_only=True, eq=False)
class UpdateSubject:
    """One optimiser step, and what the methods of the run make of it now."""

    update: Update
    shaped: Shaped
    advantages: Floats | None
    """[S] or [N], from the recorded rewards; None: a column that they need is not there."""
    num_tokens: int
    """N, sampled in the trajectories of the step."""

    @property
    def where(self) -> str:
        """Its name in findings."""
        return f"step {self.update.step}"

    def per_token(self, values: Floats) -> Floats:
        """Spread values of steps [S] over their tokens, giving [N]."""
        table = self.update.table
        if len(values) == table.num_steps:
            return np.repeat(values, np.diff(table.token_start))
        return values


def some(items: Iterator[Any] | list[Any], number: int = 3) -> str:
    """Name the first few of many."""
    found = list(islice(items, number + 1))
    return ", ".join(map(str, found[:number])) + (" ..." if len(found) > number else "")
