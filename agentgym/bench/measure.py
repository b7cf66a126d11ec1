"""Measuring several sides in one run, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentgym.errors import EnvError

_MIN_PASSES = 3


class Side(NamedTuple):
    """One way to play the same episodes."""

    framework: str
    concurrency: int
    play: Callable[[], int]
    """Plays all of them and returns how many steps that took."""


def steps_per_second(sides: Sequence[Side], *, seconds: float) -> list[float]:
    """Return the median over passes of each side; the sides take turns, in both orders.

    Raises:
        EnvError: a side took another number of steps: it does not play the same.
    """
    steps = [side.play() for side in sides]  # also warms up what is made once
    for side, taken in zip(sides, steps, strict=True):
        if taken != steps[0]:
            raise EnvError(
                f"{side.framework} took {taken} steps where {sides[0].framework} took {steps[0]}: "
                "they do not play the same"
            )
    rates: list[list[float]] = [[] for _ in sides]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(rates[0]) < _MIN_PASSES:
        places = range(len(sides))
        for place in places if len(rates[0]) % 2 else reversed(places):
            began = time.perf_counter()
            taken = sides[place].play()
            rates[place].append(taken / (time.perf_counter() - began))
    return [statistics.median(each) for each in rates]
