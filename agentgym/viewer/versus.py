"""Two runs task by task: the numbers of `agentgym compare`, from the indexes alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agentgym.errors import ConfigError
from agentgym.store.run import Run
from agentgym.trainers.compare import (
    Difference,
    Verdict,
    paired_means,
    paired_rates,
    unpaired_means,
    unpaired_rates,
    verdict,
)
from agentgym.trainers.pairs import (
    Played,
    Result,
    evaluation_of,
    evaluations,
    match,
    number_tasks,
    result_in,
)
from agentgym.viewer.runs import OpenRun

MOST_TASKS = 2000
"""Tasks of one answer; the numbers are of all."""

_MEASURED = ("outcome", "turns", "tokens")
_MOST_EPISODES = 64  # of one task, whose addresses are told

Json = dict[str, Any]


class Row(NamedTuple):
    """An episode as the index lists it."""

    id: str
    group_id: str
    member: int
    task_id: str
    env: str
    split: str
    end: str
    outcome: float
    turns: int
    tokens: int
    fork_step: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Versus:
    """The second run less the first."""

    sides: tuple[Result, Result]
    names: tuple[str, str]
    steps: tuple[Sequence[int], Sequence[int]]
    """After which steps each was evaluated."""
    success: float
    """The outcome that counts as one."""
    is_paired: bool
    differences: dict[str, Difference]
    """Of success, outcome, turns and tokens; those of pairs, where there are enough."""
    verdict: Verdict | None
    """By outcome; None: the runs are compared unpaired."""

    def to_json(self) -> Json:
        """Return it as JSON values."""
        tasks = list(_tasks(self.sides[0].episodes, self.sides[1].episodes))
        return {
            **{key: self._side(place) for place, key in enumerate("ab")},
            "paired": self.is_paired,
            "success": self.success,
            "differences": {name: each._asdict() for name, each in self.differences.items()},
            **(self.verdict._asdict() if self.verdict else dict.fromkeys(Verdict._fields)),
            "of_tasks": len(tasks),
            "tasks": tasks[:MOST_TASKS],
        }

    def _side(self, place: int) -> Json:
        result = self.sides[place]
        return {
            "run": self.names[place],
            "which": result.which,
            "episodes": len(result.episodes),
            "faults": result.faults,
            "envs": list(result.envs),
            "evaluations": list(self.steps[place]),
        }


def compare_runs(a: OpenRun, b: OpenRun, *, at: int | None = None) -> Versus:
    """Compare two runs, of trainings the evaluation after step `at` or the last one.

    Raises:
        ConfigError: they are of different environments, or one was not evaluated (there).
        StoreError: one has no whole episode.
    """
    runs = Run.open(a.root), Run.open(b.root)
    first, second = (result_at(*each, at) for each in zip((a, b), runs, strict=True))
    if first.envs != second.envs:
        raise ConfigError(
            f"{a.name} is of {', '.join(first.envs)}, {b.name} of {', '.join(second.envs)}",
            hint="scores of different environments say nothing of each other",
        )
    pairs = match(first.episodes, second.episodes)
    success = b.success
    played = pairs or (first.episodes, second.episodes)
    differences, found = _numbers(*played, success=success, is_paired=pairs is not None)
    return Versus(
        sides=(first, second),
        names=(a.name, b.name),
        steps=(evaluations(runs[0]), evaluations(runs[1])),
        success=success,
        is_paired=pairs is not None,
        differences=differences,
        verdict=found,
    )


def result_at(opened: OpenRun, run: Run, at: int | None) -> Result:
    """Return what a run is judged by, of a training the evaluation after step `at` or the last one.

    Raises:
        ConfigError: it was not evaluated (there).
        StoreError: it has no whole episode.
    """
    found = evaluation_of(run, at=at)
    if found is None:
        raise ConfigError(f"the training {opened.name} was never evaluated")
    names = (
        'id, grp, member, task, env, split, "end", coalesce(outcome, 0), turns, tokens, fork_step'
    )
    rows = opened.index.query(
        f"SELECT {names} FROM episode WHERE substr(grp, 1, ?) = ? "
        "AND (outcome IS NOT NULL OR \"end\" = 'error') ORDER BY row",
        (len(found.prefix), found.prefix),
    )
    if not rows and opened.index.progress.episodes:
        raise ConfigError(
            f"no episode of {opened.name} has a reward",
            hint="the file that it was made of tells none",
        )
    return result_in(run, (Row(*each) for each in rows), found.which, keep_heads=True)


def _numbers(
    a: Sequence[Played], b: Sequence[Played], *, success: float, is_paired: bool
) -> tuple[dict[str, Difference], Verdict | None]:
    tasks = number_tasks(a), number_tasks(b)
    first, second = (
        np.array([(each.outcome, each.turns, each.tokens) for each in side], dtype=np.float64)
        for side in (a, b)
    )
    won = first[:, 0] >= success, second[:, 0] >= success
    if not is_paired:
        means = unpaired_means(first, second, *tasks)
        return _named(unpaired_rates(*won, *tasks), means), None
    gains = won[1].astype(np.int64) - won[0]
    found = verdict(second[:, 0] - first[:, 0], gains, tasks[0])
    return _named(paired_rates(*won, tasks[0]), paired_means(first, second, tasks[0])), found


def _named(rates: Difference, means: Sequence[Difference]) -> dict[str, Difference]:
    return {"success": rates, **dict(zip(_MEASURED, means, strict=True))}


def _tasks(a: Sequence[Played], b: Sequence[Played]) -> Iterator[Json]:
    """Yield each task with its episodes on both sides, the largest losses first."""
    found: dict[tuple[str, str], tuple[list[Played], list[Played]]] = {}
    for side, episodes in enumerate((a, b)):
        for each in episodes:
            found.setdefault((each.split, each.task), ([], []))[side].append(each)
    rows = [_task(split, task, *sides) for (split, task), sides in found.items()]
    yield from sorted(rows, key=_order)


def _order(row: Json) -> tuple[bool, float, str]:
    difference = row["difference"]
    return difference is None, difference or 0.0, row["task"]


def _task(split: str, task: str, a: Sequence[Played], b: Sequence[Played]) -> Json:
    sides = {key: _side_of_task(side) for key, side in (("a", a), ("b", b))}
    means = [sides[key]["outcome"] for key in "ab"]
    difference = None if None in means else means[1] - means[0]
    return {"task": task, "split": split, **sides, "difference": difference}


def _side_of_task(episodes: Sequence[Played]) -> Json:
    ids = [each.head.id for each in episodes if each.head is not None]
    return {
        "outcome": sum(each.outcome for each in episodes) / len(episodes) if episodes else None,
        "episodes": ids[:_MOST_EPISODES],
        "of": len(episodes),
    }
