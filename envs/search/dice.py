"""Random draws that are the same in every version of Python.

Only `random.Random.random` and seeding with an integer are promised to stay; `choice`, `sample`
and `shuffle` are not, so they are written out here.
"""

import random
from collections.abc import MutableSequence, Sequence
from typing import Any, TypeVar

from agentgym.types import derive_seed

T = TypeVar("T")


class Dice:
    """Draws that depend on the parts of the seed only."""

    def __init__(self, *seed: Any) -> None:
        self._random = random.Random(derive_seed(*seed))

    def chance(self, share: float) -> bool:
        """Return True in this share of cases."""
        return self._random.random() < share

    def between(self, low: int, high: int) -> int:
        """Draw a whole number, both ends included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """Draw one."""
        return options[int(self._random.random() * len(options))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put the items in another order, in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.between(0, last)
            items[last], items[other] = items[other], items[last]

    def some(self, options: Sequence[T], number: int) -> list[T]:
        """Draw several different ones, in random order.

        >>> sorted(Dice("doc").some("abc", 3))
        ['a', 'b', 'c']
        """
        places: dict[int, None] = {}
        while len(places) < number:
            places[self.between(0, len(options) - 1)] = None
        return [options[place] for place in places]
