"""Tasks by runs and checkpoints: how often each was solved, from the indexes alone."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from agentgym.errors import AgentGymError, ConfigError
from agentgym.store.run import Run
from agentgym.trainers.pairs import Result, evaluations
from agentgym.viewer.runs import OpenRun
from agentgym.viewer.versus import MOST_TASKS, result_at

MOST_COLUMNS = 16
"""Evaluations side by side; of more the first, the last and some between them are shown."""

_MOST_EPISODES = 16  # of one cell, whose addresses are told

Json = dict[str, Any]


class Column(NamedTuple):
    """The episodes of one run after one step of its training."""

    run: OpenRun
    step: int | None
    """None: the run is no training, all of it is one evaluation."""
    result: Result


def make_matrix(runs: Sequence[OpenRun]) -> Json:
    """Return the share of successes of each task in each evaluation, as JSON values.

    `columns` are evaluations, run by run; `tasks` begin with those whose shares differ most, and
    have a cell for each column, None where the task was not played. What cannot be shown stands in
    `trouble`.

    Raises:
        ConfigError: there is no run, or more of them than columns.
    """
    if not 1 <= len(runs) <= MOST_COLUMNS:
        raise ConfigError(f"{len(runs)} runs are asked for, expected 1 to {MOST_COLUMNS}")
    columns: list[Column] = []
    trouble: list[str] = []
    for run in runs:
        try:
            found = list(_columns(run, MOST_COLUMNS // len(runs)))
            _check_envs(columns + found)
            columns += found
        except AgentGymError as error:
            trouble.append(str(error))
    tasks = sorted(_tasks(columns), key=lambda row: (-row["spread"], row["split"], row["task"]))
    return {
        "columns": [_head(each) for each in columns],
        "of_tasks": len(tasks),
        "tasks": tasks[:MOST_TASKS],
        "trouble": trouble,
    }


def spread(steps: Sequence[int], most: int) -> list[int]:
    """Choose at most `most` of some steps, evenly, with the first and the last one.

    >>> spread([0, 10, 20, 30, 40], 3), spread([0, 10], 1)
    ([0, 20, 40], [10])
    """
    if len(steps) <= most:
        return list(steps)
    if most == 1:
        return [steps[-1]]
    return [steps[place * (len(steps) - 1) // (most - 1)] for place in range(most)]


def _columns(run: OpenRun, most: int) -> Iterator[Column]:
    opened = Run.open(run.root)
    steps: Sequence[int | None] = spread(evaluations(opened), most) or [None]
    for step in steps:
        yield Column(run, step, result_at(run, opened, step))


def _check_envs(columns: Sequence[Column]) -> None:
    """Refuse tasks of different environments, which may have the same ids."""
    for each in columns:
        envs, others = each.result.envs, columns[0].result.envs
        if envs != others:
            raise ConfigError(
                f"{each.run.name} is of {', '.join(envs)}, "
                f"{columns[0].run.name} is of {', '.join(others)}"
            )


def _head(column: Column) -> Json:
    episodes, success = column.result.episodes, column.run.success
    won = sum(each.outcome >= success for each in episodes)
    return {
        "run": column.run.name,
        "step": column.step,
        "which": column.result.which,
        "rate": won / len(episodes),
        "episodes": len(episodes),
        "faults": column.result.faults,
    }


def _tasks(columns: Sequence[Column]) -> Iterator[Json]:
    """Yield a row for each task."""
    found: dict[tuple[str, str], list[Json | None]] = {}
    for place, column in enumerate(columns):
        for each in column.result.episodes:
            cells = found.setdefault((each.split, each.task), [None] * len(columns))
            none: Json = {"won": 0, "of": 0, "outcome": 0.0, "episodes": []}
            cell = cells[place] = cells[place] or none
            cell["won"] += each.outcome >= column.run.success
            cell["of"] += 1
            cell["outcome"] += (each.outcome - cell["outcome"]) / cell["of"]
            if each.head is not None and len(cell["episodes"]) < _MOST_EPISODES:
                cell["episodes"].append(each.head.id)
    for (split, task), cells in found.items():
        rates = [cell["won"] / cell["of"] for cell in cells if cell is not None]
        yield {"task": task, "split": split, "cells": cells, "spread": max(rates) - min(rates)}
