"""A foreign file as trajectories, read when they are asked for."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import ConfigError, StoreError
from agentgym.formats.atif import AtifReader
from agentgym.formats.inspect_eval import InspectReader
from agentgym.formats.messages import MessagesReader
from agentgym.formats.mini_swe_agent import MiniSweAgentReader
from agentgym.formats.reader import Reader
from agentgym.formats.source import Source, Value
from agentgym.formats.swe_agent import SweAgentReader
from agentgym.formats.verifiers import VerifiersReader
from agentgym.store.frames import OnBroken, skipping
from agentgym.types import Trajectory

READERS: tuple[type[Reader], ...] = (
    InspectReader,
    AtifReader,
    VerifiersReader,
    SweAgentReader,
    MiniSweAgentReader,
    MessagesReader,  # last: others have `messages`, too
)

_DEPTH = 100  # of values in one another, far below what Python and browsers can follow


@dataclass(frozen=True, slots=True)
class Imported:
    """The episodes of a file. Each iteration reads it anew; nothing is kept."""

    path: Path
    format: str
    how: str
    """By what the format was known."""
    told: Counter[str]
    """What the episodes lack that were read last, or had left out of them, and how often."""
    reader: type[Reader]
    on_broken: OnBroken | None

    def __iter__(self) -> Iterator[Trajectory]:
        reader = self.reader(Source(self.path, on_broken=self.on_broken))
        self.told.clear()
        names = _Names()
        for value in reader.values():
            found: list[Trajectory] = []
            with skipping(self.on_broken):
                found = _episodes(reader, value)
            names.give(found)
            for trajectory in found:
                self._tell(trajectory)
                yield trajectory
            self.told.update(reader.told)
            reader.told.clear()

    def _tell(self, trajectory: Trajectory) -> None:
        if not any(step.reward_terms for step in trajectory.steps):
            self.told["without a reward"] += 1
        if not any(step.completion for step in trajectory.steps):
            self.told["without tokens"] += 1
        if not trajectory.steps:
            self.told["without an answer of a policy"] += 1


def read_any(path: str | Path, *, on_broken: OnBroken | None = None) -> Imported:
    """Recognise a file by its content; the episodes are read as they are asked for.

    What is broken goes to `on_broken` and is left out; None: it is an error of the iteration.

    Raises:
        ConfigError: there is no file, or none of the formats is in it.
        StoreError: it cannot be read.
    """
    source = Source(path)
    for reader in READERS:
        if how := reader.sees(source):
            return Imported(source.path, reader.name, how, Counter(), reader, on_broken)
    raise ConfigError(
        f"{path} is of no format that is known here{_why(source)}",
        hint=f"known are: {', '.join(reader.name for reader in READERS)}",
    )


def _why(source: Source) -> str:
    """Say what the file begins with, or why it cannot be read at all."""
    if source.is_zip:
        return ": an archive without samples"
    if source.first is None:
        next(source.values(), None)  # raises where it is no JSON, and says where
        return ": it is empty"
    if not isinstance(source.first, dict):
        return f": its first value is no object but {type(source.first).__name__}"
    return f": its first object has the keys {', '.join(sorted(source.first)[:8])[:200]}"


def _episodes(reader: Reader, value: Value) -> list[Trajectory]:
    """Return the episodes of a value; refuse one that would be too deep for those who read it."""
    try:
        found = list(reader.read(value))
    except RecursionError as error:
        raise StoreError(f"{value.place}: expected values that are nested less deeply") from error
    for each in found:
        if _is_deep([each.task.answer, each.task.payload, *(t.parameters for t in each.tools)]):
            raise StoreError(
                f"{value.place}: the task or a tool of {each.id!r}: expected values in one another "
                f"at most {_DEPTH} times"
            )
    return found


def _is_deep(values: list[Any]) -> bool:
    for _ in range(_DEPTH + 1):
        values = [
            inner
            for each in values
            if isinstance(each, Mapping | list)
            for inner in (each.values() if isinstance(each, Mapping) else each)
        ]
    return bool(values)


class _Names:
    """Gives an id that was there before another one: a run tells episodes apart by it."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def give(self, episodes: Sequence[Trajectory]) -> None:
        """Name the episodes of a value; those that name one of them as their parent still do."""
        first: dict[str, str] = {}
        for each in episodes:
            parent = each.parent_id
            each.parent_id = first.get(parent, parent) if parent is not None else None
            given = each.id
            each.id = self._new(given)
            first.setdefault(given, each.id)

    def _new(self, name: str) -> str:
        found = name
        while found in self._given:
            self._given[name] += 1
            found = f"{name}-{self._given[name]}"
        self._given[found] = 1
        return found
