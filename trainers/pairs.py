"""Which episodes of a run are its result, and which of two runs belong together."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import ConfigError, StoreError
from agentgym.store.episodes import read_heads
from agentgym.store.run import Run

_MODE = "sampled"  # an evaluation may be greedy too; every training has this one


class Listed(Protocol):
    """What is looked at of an episode: `EpisodeHead` has it."""

    @property
    def id(self) -> str:
        """Which episode it is."""

    @property
    def group_id(self) -> str:
        """The group of rollouts that it belongs to."""

    @property
    def member(self) -> int:
        """Which rollout of the group it is, from 0."""

    @property
    def task_id(self) -> str:
        """What was asked."""

    @property
    def env(self) -> str:
        """Of which environment."""

    @property
    def split(self) -> str:
        """Of which split its task is."""

    @property
    def end(self) -> str:
        """How it ended: `terminated`, `truncated`, `error` or `aborted`."""

    @property
    def outcome(self) -> float:
        """Whether the task was solved: in [0, 1]."""

    @property
    def turns(self) -> int:
        """Steps taken."""

    @property
    def tokens(self) -> int:
        """Tokens sampled."""

    @property
    def fork_step(self) -> int | None:
        """From which step of another episode it goes on; None: it began at the beginning."""


class Evaluation(NamedTuple):
    """Which episodes of a run are its result."""

    prefix: str
    """What their groups begin with."""
    which: str
    """In words."""


class Played(NamedTuple):
    """One episode as far as it is compared."""

    task: str
    split: str
    member: int
    outcome: float
    turns: int
    tokens: int
    head: Listed | None
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
    found = evaluation_of(run)
    if found is None:
        return None
    heads = (head for head in read_heads(run.root) if head.group_id.startswith(found.prefix))
    return result_in(run, heads, found.which, keep_heads=keep_heads)


def evaluations(run: Run) -> list[int]:
    """Return after which steps a training was evaluated wholly, ascending; of other runs none."""
    if run.info.get("kind") != "train":
        return []
    found = {
        int(event["step"])
        for event in run.events()
        if event.get("kind") == "eval" and event.get("mode") == _MODE
    }
    return sorted(found)


def evaluation_of(run: Run, *, at: int | None = None) -> Evaluation | None:
    """Return which episodes are the result of a run: all, of a training those of an evaluation.

    Args:
        run: the run.
        at: the step of that evaluation; None: the last one. Other runs have only one result.

    None: a training without an evaluation.

    Raises:
        ConfigError: it was not evaluated there.
    """
    if run.info.get("kind") != "train":
        return Evaluation("", "all")
    steps = evaluations(run)
    if at is not None and at not in steps:
        listed = ", ".join(map(str, steps[-20:]))
        raise ConfigError(
            f"{run.root} was not evaluated after step {at}",
            hint=f"evaluated after: {listed}" if steps else None,
        )
    if not steps:
        return None
    step = steps[-1] if at is None else at
    return Evaluation(f"eval-{_MODE}-{step:06d}-", f"the evaluation after step {step}")


def result_in(run: Run, heads: Iterable[Listed], which: str, *, keep_heads: bool = False) -> Result:
    """Take the first whole attempt of each place; what was tried in vain is a fault.

    Episodes that go on from the middle of others are no result: somebody chose their beginning.

    Raises:
        StoreError: there is no whole episode.
    """
    whole: dict[tuple[str, int], Played] = {}
    tried: set[tuple[str, int]] = set()
    envs, splits = set(), set()
    for head in heads:
        if head.fork_step is not None:
            continue
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
        episodes=[whole[place] for place in sorted(whole)],  # not in that of their ends
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


def match(a: Sequence[Played], b: Sequence[Played]) -> tuple[list[Played], list[Played]] | None:
    """Return partners, place by place; None: most episodes have none, so that pairs say little."""
    pairs = pair(a, b)
    if 2 * len(pairs) < min(len(a), len(b)):
        return None
    return [a[place] for place, _ in pairs], [b[place] for _, place in pairs]


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
