"""Seconds and memory of every estimator of credit, from rewards and observations to advantages.

The table of steps is part of each figure. The reference implementation of GiGPO stands beside
ours where a checkout of it is named.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from agentgym.bench.credit_batches import Shape, annotated, draw_batch
from agentgym.bench.credit_reference import Reference
from agentgym.errors import EnvError
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit import CREDITS, CreditConfig
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.types import OUTCOME, Group

SHAPES = (Shape(16, 8, 50), Shape(128, 16, 50))
SIMILAR = Shape(1, 16, 10)
"""One group of 160 observations, no two of them equal."""
SIMILARITY = 0.9

_MIN_PASSES = 3
_SEED = 0
_TOLERANCE = 1e-4  # the reference counts in float32


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    estimator: str
    groups: int
    size: int
    steps: int
    seconds: float
    """Median over passes: the table, and the advantages."""
    peak_mb: float | None
    """Most memory that Python and numpy held beside the episodes; None for the reference."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def bench_credit(
    shapes: Sequence[Shape],
    *,
    seconds: float,
    names: Sequence[str] | None = None,
    reference: Reference | None = None,
) -> Iterator[Row]:
    """Yield rows as they are measured, by `seconds` for each, about.

    Similar anchors are measured at a shape of their own.

    Raises:
        EnvError: the reference computes something else.
    """
    estimators = {name: CREDITS[name]() for name in names or CREDITS}
    for shape in shapes:
        yield from _rows(shape, estimators, seconds)
        if reference is not None and "gigpo" in estimators:
            yield _beside(reference, shape, seconds, similar=False)
    if "gigpo" in estimators:
        similar = GiGPO(anchors="similar", similarity=SIMILARITY)
        yield from _rows(SIMILAR, {"gigpo:similar": similar}, seconds, similar=True)
        if reference is not None:
            yield _beside(reference, SIMILAR, seconds, similar=True)


def _rows(
    shape: Shape, estimators: Mapping[str, CreditConfig], seconds: float, *, similar: bool = False
) -> Iterator[Row]:
    table, table_seconds, table_mb = _measure_table(shape, seconds, similar)
    for name, estimator in estimators.items():
        call = partial(estimator, table, table.term(OUTCOME))
        taken, peak = _median(call, seconds), table_mb + _peak_mb(call)
        yield Row(name, *shape, table_seconds + taken, round(peak, 3))


def _measure_table(shape: Shape, seconds: float, similar: bool) -> tuple[StepTable, float, float]:
    """Return the table, the seconds that making it takes, and its megabytes.

    Each pass has a batch of its own: Python keeps the hash of a text that was hashed once.
    """
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < _MIN_PASSES or time.perf_counter() < began + seconds:
        batch = draw_batch(shape, seed=_SEED, similar=similar)
        rates.append(_seconds(partial(build_table, batch)))
    megabytes = _peak_mb(partial(build_table, batch))
    return annotated(build_table(batch), seed=_SEED), statistics.median(rates), megabytes


def _beside(reference: Reference, shape: Shape, seconds: float, *, similar: bool) -> Row:
    """Measure the reference on the same batch, and see that it has the same advantages.

    Of similar anchors it has others: with difflib's autojunk.
    """
    groups: list[Group] = draw_batch(shape, seed=_SEED, similar=similar)
    table = build_table(groups)
    rewards = table.term(OUTCOME)
    ours = GiGPO(
        norm="mean_norm",
        anchors="similar" if similar else "exact",
        similarity=SIMILARITY,
        compat=True,
    )
    prepared = reference.prepare(table, rewards)
    found: list[Floats] = []

    def call() -> None:
        found[:] = [
            reference.advantages(
                prepared, gamma=ours.gamma, similarity=SIMILARITY if similar else None
            )
        ]

    taken = _median(call, seconds, passes=1)
    if not np.allclose(found[0], ours(table, rewards), atol=_TOLERANCE):
        raise EnvError("verl-agent has other advantages than gigpo: they do not compute the same")
    name = "verl-agent:gigpo:similar" if similar else "verl-agent:gigpo"
    return Row(name, *shape, taken, None)


def _median(call: Callable[[], object], seconds: float, *, passes: int = _MIN_PASSES) -> float:
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < passes or time.perf_counter() < began + seconds:
        taken.append(_seconds(call))
    return statistics.median(taken)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _peak_mb(call: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
