"""A space of any text: what agents say is not ASCII, and has no charset.

Gymnasium's functions for vector environments dispatch on the class of a space; those that
would look every character up in a charset are replaced for this class.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Text
from gymnasium.vector.utils import (
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

_SAMPLED = "".join(map(chr, range(32, 127))) + "\näöüßéñçøλжюяאבعد中文日本語한국🔑🚪"
_MAX_SAMPLED_CHARS = 64  # longer noise says nothing more


class UnicodeText(Text):
    """Every string of at most `max_length` characters; samples are short, printable and varied."""

    def __init__(self, max_length: int, *, seed: Any = None) -> None:
        super().__init__(max_length, min_length=0, charset=_SAMPLED, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw a short text; masks are those of `Text`, over the characters it draws from."""
        if mask is None and probability is None:
            length = min(self.max_length, _MAX_SAMPLED_CHARS)
            mask = (int(self.np_random.integers(length + 1)), None)
        return str(super().sample(mask=mask, probability=probability))

    def contains(self, x: Any) -> bool:
        """Return whether this is a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    @property
    def is_np_flattenable(self) -> bool:
        """No: there is no table of all characters."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"


@create_empty_array.register(UnicodeText)
def _empty(space: UnicodeText, n: int = 1, fn: Any = None) -> tuple[str, ...]:
    return ("",) * n


@create_shared_memory.register(UnicodeText)
def _shared(space: UnicodeText, n: int = 1, ctx: Any = None) -> Any:
    """Room for `n` texts: the length of each, then its code points."""
    return ctx.Array("i", n * (space.max_length + 1))


@read_from_shared_memory.register(UnicodeText)
def _read(space: UnicodeText, shared_memory: Any, n: int = 1) -> "_Live":
    return _Live(_rows(space, shared_memory)[:n])


class _Live(Sequence[str]):
    """The texts that stand in shared memory now: it is read once, and looked at after every step.

    Its deep copy, which is what a vector environment returns, is a tuple.
    """

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._texts()[index]

    def __deepcopy__(self, memo: object) -> tuple[str, ...]:
        return self._texts()

    def _texts(self) -> tuple[str, ...]:
        return tuple(
            row[1 : 1 + row[0]].tobytes().decode("utf-32-le", "surrogatepass") for row in self._rows
        )


@write_to_shared_memory.register(UnicodeText)
def _write(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    points = np.frombuffer(value.encode("utf-32-le", "surrogatepass"), np.int32)
    row = _rows(space, shared_memory)[index]
    row[0] = len(points)
    row[1 : 1 + len(points)] = points


def _rows(space: UnicodeText, shared_memory: Any) -> Any:
    return np.frombuffer(shared_memory.get_obj(), np.int32).reshape(-1, space.max_length + 1)
