"""Which share of all that a run sampled carried gradient, and what became of the rest."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeHead
from agentgym.store.notes import Note, read_note
from agentgym.table import Bools
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import equal_returns

EQUAL_RETURNS = "equal_returns"
"""Of the tokens without an advantage those whose group's returns are all equal."""


@dataclass(kw_only=True, eq=False)
class Tally:
    """Sampled tokens of a run by what became of them; it grows with the run."""

    by_step: dict[int, dict[str, int]] = field(default_factory=dict)
    """By optimiser step, from 0: `trained`, `equal_returns`, `zero_advantage` (other ones),
    `not_in_batch`, `clipped`, `dropped`."""
    used: set[str] = field(default_factory=set)
    """The episodes that they are of."""

    def add(self, note: Note, heads: Mapping[str, EpisodeHead]) -> None:
        """Count an optimiser step; one that is there already is counted anew.

        Raises:
            StoreError: its note is broken.
        """
        note = read_note(note.frame) if note.frame and not note.columns else note
        step, names = int(note.payload["step"]), list(note.payload["trajectories"])
        self.by_step[step] = _count(note, [heads[n].group_id if n in heads else n for n in names])
        self.used.update(names)

    def unused(self, heads: Iterable[EpisodeHead]) -> dict[str, int]:
        """Count the tokens of episodes that no optimiser step used: `fault`, `evaluation`, `unused`."""
        found: Counter[str] = Counter()
        for head in heads:
            if head.id not in self.used:
                found[_kind(head)] += head.tokens
        return dict(found)

    def to_json(self, heads: Iterable[EpisodeHead] = ()) -> dict[str, Any]:
        """Return {tokens, causes: {NAME: count}, steps: [...], by_step: {NAME: [count]}}."""
        steps = sorted(self.by_step)
        causes: Counter[str] = Counter(self.unused(heads))
        for counts in self.by_step.values():
            causes.update(counts)
        names = list(dict.fromkeys(name for step in steps for name in self.by_step[step]))
        return {
            "tokens": causes.total(),
            "causes": {name: count for name, count in causes.most_common() if count},
            "steps": [step + 1 for step in steps],
            "by_step": {name: [self.by_step[step][name] for step in steps] for name in names},
        }


def _count(note: Note, groups: list[str]) -> dict[str, int]:
    cause = note.columns["cause"]
    counts = {each.name.lower(): int((cause == each).sum()) for each in Cause}
    idle = cause == Cause.ZERO_ADVANTAGE
    equal = int((idle & _of_equal_groups(note, groups)).sum())
    counts["zero_advantage"] -= equal
    return {**counts, EQUAL_RETURNS: equal}


def _of_equal_groups(note: Note, groups: list[str]) -> Bools:
    """Return which tokens are of groups whose returns are all equal, [N]."""
    columns = note.columns
    step_start, token_start, rewards = (
        columns[name] for name in ("step_start", "token_start", "rewards")
    )
    if len(step_start) != len(groups) + 1 or len(rewards) != step_start[-1]:
        raise StoreError(
            f"the note of optimiser step {int(note.payload['step']) + 1} does not fit together",
            hint="agentgym check run tells what is wrong with it",
        )
    owner = np.repeat(np.arange(len(groups)), np.diff(step_start))
    returns = np.bincount(owner, weights=rewards, minlength=len(groups)).astype(float)
    _, numbers = np.unique(groups, return_inverse=True)
    is_equal = equal_returns(returns, numbers)[numbers]
    return np.repeat(is_equal, np.diff(token_start[step_start]))


def _kind(head: EpisodeHead) -> str:
    if head.end == "error":
        return "fault"
    return "evaluation" if head.group_id.startswith("eval-") else "unused"
