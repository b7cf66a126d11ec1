"""What a reader of a format is, and what the readers share: checks, and models that ignore the rest."""

import re
import reprlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agentgym.errors import StoreError
from agentgym.formats.source import Source, Value
from agentgym.types import Trajectory, digest

_NAME = 120  # characters: ids stand in lists and addresses

Told = Counter[str]
"""What was not there or had to be left out, and how often: of episodes, where no other is named."""

_INSTANCE = re.compile(r"a valid dictionary or instance of \w+")

NO_END = "the file does not say how it ended"

M = TypeVar("M", bound=BaseModel)


class Part(BaseModel):
    """A piece of a foreign record: the fields that are read, whatever else there is."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Reader(ABC):
    """Makes trajectories of the values of a source; one reader reads one file once."""

    name: ClassVar[str]
    """How people call the format."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.told: Told = Counter()

    @classmethod
    @abstractmethod
    def sees(cls, source: Source) -> str | None:
        """Return by what in its content the file is known to be of this format; None: it is not."""

    @abstractmethod
    def read(self, value: Value) -> Iterable[Trajectory]:
        """Make the episodes of one value.

        Raises:
            StoreError: it is not what the format says; the place and what was expected are named.
        """

    def values(self) -> Iterator[Value]:
        """Yield the values that hold episodes."""
        return self.source.values()


def check(kind: type[M], value: Value) -> M:
    """Return a value as what it is expected to be.

    Raises:
        StoreError: it is something else; the first difference is named.
    """
    try:
        return kind.model_validate(value.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        found = reprlib.repr(first["input"])
        raise StoreError(
            f"{value.place}: {where or 'the value'}: {_expected(first['msg'])}, found {found}"
        ) from error


def short_name(given: object, otherwise: str) -> str:
    """Return an id that a file gives, or another where it gives none; a long one is cut.

    >>> short_name(None, "line-3"), short_name(7, "line-3")
    ('line-3', '7')
    """
    text = str(given) if given not in (None, "") else otherwise
    return text if len(text) <= _NAME else f"{text[:_NAME]}-{digest(text)}"


def seconds_between(first: datetime | None, last: datetime | None) -> float:
    """Return the seconds between two times; 0 where one is missing, or only one tells its zone."""
    if first is None or last is None or (first.tzinfo is None) != (last.tzinfo is None):
        return 0.0
    return max(0.0, (last - first).total_seconds())


def has_keys(value: Any, *names: str) -> bool:
    """Whether a value is an object with these keys."""
    return isinstance(value, dict) and all(name in value for name in names)


def names_format(value: Any, key: str, start: str) -> str | None:
    """Return what says that an object is of a format: a key whose value starts so."""
    found = value[key] if has_keys(value, key) else None
    if isinstance(found, str) and found.startswith(start):
        return f"`{key}` is {found[:24]}"
    return None


def _expected(message: str) -> str:
    """Return what pydantic says in our words, without the names of our classes."""
    words = message.replace("Input should be", "expected").replace("Field required", "expected it")
    return _INSTANCE.sub("an object", words)
