"""Which episodes of a run `agentgym export` writes."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym.store.episodes import EpisodeHead
    from agentgym.store.run import Run

_TRAIN = re.compile(r"train-(\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What an episode must be; all of it."""

    min_outcome: float | None
    split: str | None
    group: str | None
    wanted: frozenset[str]
    """Ids; none: all."""
    labelled: frozenset[str] | None
    """Ids; None: all."""
    best_of_group: bool
    last_steps: int | None


def ids_of(run: "Run", names: Sequence[str]) -> Iterator[str]:
    """Yield the ids that these begin.

    Raises:
        StoreError: there is no such episode, or several.
    """
    from agentgym.store.episodes import find_episode

    for name in names:
        yield find_episode(run.root, name).id


def lowest_outcome(run: "Run", min_outcome: float | None, *, successes: bool) -> float | None:
    """Return the outcome that is asked for, or that of a success.

    Raises:
        ConfigError: both are, or nobody knows what success is.
    """
    from agentgym.errors import ConfigError

    if successes and min_outcome is not None:
        raise ConfigError("--successes and --min-outcome exclude each other", hint="give one")
    return _success(run) if successes else min_outcome


def preferred(
    run: "Run", label: str | None, chosen: str, rejected: str
) -> dict[str, frozenset[str]]:
    """Return the ids of good and of bad episodes.

    Raises:
        ConfigError: no episode has one of the labels, or they are the same.
    """
    from agentgym.errors import ConfigError

    if label is not None or chosen == rejected:
        hint = "--chosen good --rejected bad, no --label"
        raise ConfigError("--preference takes two labels", hint=hint)
    words = {"chosen": chosen, "rejected": rejected}
    return {side: frozenset(_labelled(run, each)) for side, each in words.items()}


def labelled_any(
    run: "Run", sides: Mapping[str, frozenset[str]], label: str | None
) -> frozenset[str] | None:
    """Return the ids of episodes that have a label that is asked for; None: none is.

    Raises:
        ConfigError: no episode has it.
    """
    if sides:
        return frozenset().union(*sides.values())
    return None if label is None else frozenset(_labelled(run, label))


def judge(
    heads: "Sequence[EpisodeHead]", filters: Filters, *, with_faults: bool
) -> "Callable[[EpisodeHead], str | None]":
    """Return what says why one of these is left out, None where it is not.

    What depends on other episodes, the last step and the best of a group, is found beforehand.
    """
    first_step = 0
    if filters.last_steps is not None:
        first_step = max(0, max(map(_step, heads), default=-1) + 1 - filters.last_steps)

    def why_not(head: "EpisodeHead") -> str | None:
        if filters.wanted and head.id not in filters.wanted:
            return "not asked for"
        if filters.group not in (None, head.group_id):
            return f"not of the group {filters.group}"
        if filters.labelled is not None and head.id not in filters.labelled:
            return "not labelled so"
        if head.end == "error" and not with_faults:
            return "ended by a fault"
        if filters.split not in (None, head.split):
            return f"not of the split {filters.split}"
        if filters.last_steps is not None and _step(head) < first_step:
            return f"not of the last {filters.last_steps} steps"
        if filters.min_outcome is not None and not head.outcome >= filters.min_outcome:
            return f"outcome below {filters.min_outcome:g}"
        return None

    if not filters.best_of_group:
        return why_not
    best = _best_of_groups([head for head in heads if why_not(head) is None])
    return lambda head: why_not(head) or (None if head.id in best else "not the best of the group")


def _best_of_groups(heads: "Sequence[EpisodeHead]") -> set[str]:
    """Return the ids of the best of each group: by outcome, then by the fewest turns."""
    ranked = sorted(heads, key=lambda head: (-head.outcome, head.turns, head.id))
    best: dict[str, str] = {}
    for head in ranked:
        best.setdefault(head.group_id, head.id)
    return set(best.values())


def _step(head: "EpisodeHead") -> int:
    """Return the optimiser step that an episode was rolled out for; -1: for none."""
    match = _TRAIN.match(head.group_id)
    return int(match[1]) if match else -1


def _success(run: "Run") -> float:
    from agentgym.cli.recorded import env_class
    from agentgym.errors import AgentGymError, ConfigError

    try:
        return env_class(run).success
    except AgentGymError as error:
        hint = "give --min-outcome instead of --successes"
        raise ConfigError(f"what success is, is not known here: {error}", hint=hint) from error


def _labelled(run: "Run", label: str) -> Iterator[str]:
    from agentgym.errors import ConfigError
    from agentgym.loading import did_you_mean
    from agentgym.viewer.labels import read_labels

    labels = read_labels(run.root)
    known = sorted({each.label for each in labels.values()})
    if label not in known:
        close = did_you_mean(label, known)
        hint = f"did you mean {close!r}?" if close else f"labels: {', '.join(known) or 'none'}"
        raise ConfigError(f"no episode of {run.root} is labelled {label!r}", hint=hint)
    yield from (name for name, each in labels.items() if each.label == label)
