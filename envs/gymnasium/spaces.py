"""Spaces of Gymnasium in words: observations become text, text becomes actions."""

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from agentgym.errors import ConfigError

if TYPE_CHECKING:
    from gymnasium import Space

_MAX_VALUES = 64  # of a box; more numbers than these are an image
_MAX_LISTED = 64  # actions that are worth listing
_MAX_NAMED = 8  # names that are told where there are too many to list
_NUMBERS = re.compile(r"[\s,;]+")


class Actions(NamedTuple):
    """How the actions of a space are written."""

    parse: Callable[[str], Any]
    """Text -> action; None when it is none."""
    listed: tuple[str, ...]
    """All of them, where they are few."""
    told: str
    """What a model is told to answer with."""


def actions_of(space: "Space[Any]", names: Sequence[str] | None) -> Actions:
    """Return how to act in a space; `names` are those of a Discrete one, in order.

    Raises:
        ConfigError: text cannot say an action of this space, or the names do not fit it.
    """
    from gymnasium import spaces

    if names is not None and not isinstance(space, spaces.Discrete):
        raise ConfigError(f"only a Discrete space has names of actions, not {space}")
    if isinstance(space, spaces.Discrete):
        return _discrete(int(space.start), int(space.n), names)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return _several(space)
    if isinstance(space, spaces.Text):
        length = space.max_length
        return Actions(
            lambda text: text if text in space else None, (), f"at most {length} characters"
        )
    raise ConfigError(
        f"actions of {space} cannot be said in text",
        hint="only Discrete, MultiDiscrete, MultiBinary and Text can; wrap the environment",
    )


def names_of(env: Any, space: "Space[Any]") -> tuple[str, ...] | None:
    """Return the names that an environment has for its actions: an enumeration `actions`."""
    from gymnasium import spaces

    found = getattr(env, "actions", None)
    if not (isinstance(found, type) and issubclass(found, IntEnum)):
        return None
    if not (isinstance(space, spaces.Discrete) and space.n == len(found)):
        return None
    return tuple(each.name for each in sorted(found))


def reader_of(space: "Space[Any]") -> Callable[[Any], str]:
    """Return the function that writes an observation of a space as text.

    Raises:
        ConfigError: it would be too many numbers, or none.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return lambda value: str(int(value))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return lambda value: " ".join(str(int(each)) for each in value.flat)
    if isinstance(space, spaces.Box) and space.shape is not None:
        return _box(space)
    if isinstance(space, spaces.Dict):
        return _dict({key: reader_of(each) for key, each in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        readers = [reader_of(each) for each in space.spaces]
        return lambda value: ", ".join(
            read(each) for read, each in zip(readers, value, strict=True)
        )
    if isinstance(space.sample(), str):  # Text, and MiniGrid's missions
        return str
    raise ConfigError(
        f"observations of {space} cannot be written as text",
        hint="only Discrete, MultiDiscrete, MultiBinary, Text, small Box, and Dict and Tuple of "
        "them can; wrap the environment",
    )


def _discrete(start: int, number: int, names: Sequence[str] | None) -> Actions:
    named = {name.strip().lower(): start + place for place, name in enumerate(names or ())}
    if names is not None and not len(names) == len(named) == number:
        raise ConfigError(
            f"{len(names)} names of actions, {len(named)} of them different, but there are "
            f"{number}: {', '.join(names)}",
            hint="give every action a name of its own, in the order of their numbers",
        )

    def parse(text: str) -> int | None:
        if text in named:
            return named[text]
        word = text.strip().lower()
        return named[word] if word in named else _integer(word, start, start + number)

    listed = tuple(names or map(str, range(start, start + number))) if number <= _MAX_LISTED else ()
    told = f"a number from {start} to {start + number - 1}"
    if names:
        told = f"{told}, or a name such as {', '.join(names[:_MAX_NAMED])}"
    if listed:
        told = f"one of: {', '.join(listed)}"
    return Actions(parse, listed, told)


def _several(space: Any) -> Actions:
    """Several numbers, separated by blanks."""
    import numpy as np

    number = int(np.prod(space.shape))
    sizes = np.ravel(getattr(space, "nvec", [2] * number))
    starts = np.ravel(getattr(space, "start", [0] * number))  # a MultiBinary has neither
    bounds = [(int(low), int(low + size)) for low, size in zip(starts, sizes, strict=True)]

    def parse(text: str) -> Any:
        words = [word for word in _NUMBERS.split(text) if word]
        if len(words) != number:
            return None
        values = [_integer(word, *bound) for word, bound in zip(words, bounds, strict=True)]
        return None if None in values else np.array(values, space.dtype).reshape(space.shape)

    choices = product(*(range(*bound) for bound in bounds))
    listed = tuple(" ".join(map(str, each)) for each in islice(choices, _MAX_LISTED + 1))
    limits = ", ".join(f"{low} to {high - 1}" for low, high in bounds)
    return Actions(
        parse, listed if len(listed) <= _MAX_LISTED else (), f"numbers, in turn {limits}"
    )


def _integer(word: str, low: int, high: int) -> int | None:
    """Return the number below `high` that a word of ASCII digits says."""
    if not re.fullmatch(r"-?[0-9]{1,18}", word):
        return None
    return int(word) if low <= int(word) < high else None


def _box(space: Any) -> Callable[[Any], str]:
    size = 1
    for each in space.shape:
        size *= each
    if size > _MAX_VALUES:
        raise ConfigError(
            f"observations of {space} are {size} numbers, too many to be read",
            hint="choose another view, or wrap the environment",
        )
    return lambda value: " ".join(f"{each:.6g}" for each in value.flat)


def _dict(readers: dict[str, Callable[[Any], str]]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        return "\n".join(f"{key}: {one(value[key])}" for key, one in readers.items())

    return read
