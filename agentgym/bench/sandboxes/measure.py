"""Durations of calls that several callers make at once."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Call = Callable[[], Awaitable[float | None]]
"""Does one operation; returns the seconds that count, or None for all that it took."""

_MIN_CALLS = 1  # of each caller in each round


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; where there is none for a field, it is null in JSON."""

    backend: str
    operation: str
    concurrency: int
    n: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    per_second: float | None = None
    pss_mb: float | None = None
    """Memory of one idle sandbox: the mean of `n`."""

    def to_json(self) -> dict[str, Any]:
        """Return its fields, rounded to what can be told."""
        fields = asdict(self).items()
        return {
            key: round(value, 3) if isinstance(value, float) else value for key, value in fields
        }


class Side:
    """One operation of one backend, called by several at once, for a slice of time at a time."""

    def __init__(self, backend: str, operation: str, calls: Sequence[Call]) -> None:
        self.backend = backend
        self.operation = operation
        self._calls = calls
        self._durations: list[float] = []

    async def run(self, seconds: float) -> None:
        """Let every caller call until the time is over."""
        deadline = time.perf_counter() + seconds
        await asyncio.gather(*(self._repeat(call, deadline) for call in self._calls))

    def row(self) -> Row:
        """Return what was measured so far."""
        ordered = sorted(self._durations)
        busy_s = sum(ordered) / len(self._calls)  # without what only prepares a call
        return Row(
            self.backend,
            self.operation,
            len(self._calls),
            len(ordered),
            p50_ms=1000 * _quantile(ordered, 0.5),
            p95_ms=1000 * _quantile(ordered, 0.95),
            p99_ms=1000 * _quantile(ordered, 0.99),
            per_second=len(ordered) / busy_s,
        )

    async def _repeat(self, call: Call, deadline: float) -> None:
        done = 0
        while done < _MIN_CALLS or time.perf_counter() < deadline:
            began = time.perf_counter()
            counted = await call()
            self._durations.append(time.perf_counter() - began if counted is None else counted)
            done += 1


async def take_turns(sides: Sequence[Side], *, seconds: float, rounds: int = 4) -> list[Row]:
    """Measure several sides in one run, in both orders: a busy machine slows all of them alike."""
    for number in range(rounds):
        for side in sides if number % 2 else reversed(sides):
            await side.run(seconds / rounds)
    return [side.row() for side in sides]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest duration that at least this share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
