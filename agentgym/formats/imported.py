"""A foreign file as trajectories, read when they are asked for."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import ConfigError
from agentgym.formats.atif import AtifReader
from agentgym.formats.inspect_eval import InspectReader
from agentgym.formats.messages import MessagesReader
from agentgym.formats.reader import Reader
from agentgym.formats.source import Source
from agentgym.formats.swe_agent import SweAgentReader
from agentgym.formats.verifiers import VerifiersReader
from agentgym.store.frames import OnBroken, skipping
from agentgym.types import Trajectory

READERS: tuple[type[Reader], ...] = (
    InspectReader,
    AtifReader,
    VerifiersReader,
    SweAgentReader,
    MessagesReader,  # last: others have `messages`, too
)


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
        names: Counter[str] = Counter()
        for value in reader.values():
            found: list[Trajectory] = []
            with skipping(self.on_broken):
                found = list(reader.read(value))
            for trajectory in found:
                self._tell(trajectory)
                yield _named_once(trajectory, names)
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


def _named_once(trajectory: Trajectory, names: Counter[str]) -> Trajectory:
    """Give an id that was there before another one: a run tells episodes apart by it."""
    names[trajectory.id] += 1
    if names[trajectory.id] > 1:
        trajectory.id = f"{trajectory.id}-{names[trajectory.id]}"
    return trajectory
