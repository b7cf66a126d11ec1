"""Pairs of a better and a worse conversation of the same task, as trainers of preferences read them."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from agentgym.errors import ConfigError
from agentgym.formats.messages import to_example, to_metadata
from agentgym.formats.writer import Writer, to_line
from agentgym.types import Trajectory

T = TypeVar("T")


@dataclass(slots=True)
class _Sides:
    """The conversations of one task, each as a line without its other half."""

    prompt: dict[str, Any]
    chosen: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)


class PreferenceWriter(Writer):
    """Writes a line a pair: {prompt, chosen, rejected, tools}, messages as OpenAI writes them.

    The n-th chosen episode of a task stands beside its n-th rejected one; of the side that has
    fewer, episodes stand in several pairs, so that every episode is in one.
    """

    with_faults = False

    def __init__(
        self,
        file: BinaryIO,
        *,
        chosen: Collection[str],
        rejected: Collection[str],
        tools: bool = True,
        metadata: bool = False,
    ) -> None:
        self._file = file
        self._chosen, self._rejected = frozenset(chosen), frozenset(rejected)
        self._tools = tools
        self._metadata = metadata
        self._tasks: dict[str, _Sides] = {}
        self._count = 0

    def add(self, trajectory: Trajectory) -> str | None:
        """Keep an episode until the others of its task are there."""
        example = to_example(trajectory, tools=self._tools)
        if example is None:
            return "no answer, or a call that is not readable"
        first = len(trajectory.prompt)
        messages = example.pop("messages")
        example = {"prompt": messages[:first], **example}
        key = json.dumps([trajectory.task.env, trajectory.task.id, example], sort_keys=True)
        sides = self._tasks.setdefault(key, _Sides(example))
        side = {"messages": messages[first:], "metadata": to_metadata(trajectory)}
        if trajectory.id in self._chosen:
            sides.chosen.append(side)
        elif trajectory.id in self._rejected:
            sides.rejected.append(side)
        else:
            return "neither chosen nor rejected"
        return None

    def finish(self) -> None:
        """Write the pairs.

        Raises:
            ConfigError: there is none.
        """
        for sides in self._tasks.values():
            for chosen, rejected in pair(sides.chosen, sides.rejected):
                self._count += 1
                self._file.write(to_line(self._line(sides.prompt, chosen, rejected)))
        if not self._count:
            raise ConfigError(
                "no task has both an episode that is chosen and one that is rejected",
                hint="label a good and a bad episode of the same task",
            )

    @property
    def told(self) -> str:
        """How many pairs there are, and how many episodes found no partner."""
        alone = sum(
            len(each.chosen) + len(each.rejected)
            for each in self._tasks.values()
            if not (each.chosen and each.rejected)
        )
        pairs = f"{self._count} pair{'s' * (self._count != 1)}"
        return pairs + (f", {alone} without a partner left out" if alone else "")

    def _line(
        self, prompt: dict[str, Any], chosen: dict[str, Any], rejected: dict[str, Any]
    ) -> dict[str, Any]:
        line = {**prompt, "chosen": chosen["messages"], "rejected": rejected["messages"]}
        if self._metadata:
            both = {"chosen": chosen["metadata"], "rejected": rejected["metadata"]}
            line["metadata"] = both
        return line


def pair(chosen: list[T], rejected: list[T]) -> Iterator[tuple[T, T]]:
    """Yield pairs such that every one is in some pair, if there is one on each side.

    >>> list(pair(["a", "b", "c"], ["x", "y"]))
    [('a', 'x'), ('b', 'y'), ('c', 'x')]
    """
    if chosen and rejected:
        for at in range(max(len(chosen), len(rejected))):
            yield chosen[at % len(chosen)], rejected[at % len(rejected)]
