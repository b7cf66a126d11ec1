"""Which episodes of a run are its result, and which of two runs belong together."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeHead, read_heads
from agentgym.store.run import Run

_MODE = "sampled"  # an evaluation may be greedy too; every training has this one


class Played(NamedTuple):
    """One episode as far as it is compared."""

    task: str
    split: str
    member: int
    outcome: float
    turns: int
    tokens: int
    head: EpisodeHead | None
    """To open it by; None where that is not wanted, which saves memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The episodes that a run is judged by."""

    episodes: list[Played]
    which: str
    """In words."""
    faults: int
    """Episodes that were tried and never came to an end; they are left out."""
    envs: tuple[str, ...]
    splits: tuple[str, ...]


def result_of(run: Run, *, keep_heads: bool = False) -> Result | None:
    """Return all episodes of a run, of a training those of its last whole evaluation.

    None: a training without an evaluation.

    Raises:
        StoreError: it has no episode, or its record cannot be read.
    """
    prefix, which = "", "all"
    if run.info.get("kind") == "train":
        steps = [
            int(event["step"])
            for event in run.events()
            if event.get("kind") == "eval" and event.get("mode") == _MODE
        ]
        if not steps:
            return None
        prefix, which = f"eval-{_MODE}-{steps[-1]:06d}-", f"the evaluation after step {steps[-1]}"
    heads = (head for head in read_heads(run.root) if head.group_id.startswith(prefix))
    return _result(run, heads, which, keep_heads=keep_heads)


def _result(run: Run, heads: Iterable[EpisodeHead], which: str, *, keep_heads: bool) -> Result:
    """Take the first whole attempt of each place; what was tried in vain is a fault."""
    whole: dict[tuple[str, int], Played] = {}
    tried: set[tuple[str, int]] = set()
    envs, splits = set(), set()
    for head in heads:
        place = (head.group_id, head.member)
        tried.add(place)
        envs.add(head.env)
        splits.add(head.split)
        if head.end != "error" and place not in whole:
            whole[place] = Played(
                head.task_id,
                head.split,
                head.member,
                head.outcome,
                head.turns,
                head.tokens,
                head if keep_heads else None,
            )
    if not whole:
        reason = "only episodes that ended by a fault" if tried else "no whole episode"
        raise StoreError(f"{run.root} has {reason}", hint=f"agentgym show {run.root}")
    return Result(
        episodes=list(whole.values()),
        which=which,
        faults=len(tried) - len(whole),
        envs=tuple(sorted(envs)),
        splits=tuple(sorted(splits)),
    )


def pair(a: Sequence[Played], b: Sequence[Played]) -> list[tuple[int, int]]:
    """Return the places in both of the episodes of the same task, split and member.

    A task that was played several times under one member number is paired in the order of play.
    """
    places = {key: place for place, key in enumerate(_keys(b))}
    found = ((place, places.get(key)) for place, key in enumerate(_keys(a)))
    return [(first, second) for first, second in found if second is not None]


def number_tasks(episodes: Iterable[Played]) -> NDArray[np.int64]:
    """Return a number for the task of each episode, from 0 without gaps."""
    numbers: dict[tuple[str, str], int] = {}
    found = [numbers.setdefault((each.split, each.task), len(numbers)) for each in episodes]
    return np.array(found, dtype=np.int64)


def _keys(episodes: Iterable[Played]) -> Iterator[Hashable]:
    seen: Counter[tuple[str, str, int]] = Counter()
    for each in episodes:
        key = (each.split, each.task, each.member)
        yield (*key, seen[key])
        seen[key] += 1
