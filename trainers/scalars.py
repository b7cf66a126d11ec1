"""The numbers that are logged for each optimiser step."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from agentgym.renderers.calls import read_arguments
from agentgym.table import StepTable
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.shaping.base import Shaped
from agentgym.types import Trajectory


class Clock:
    """Wall seconds of the phases of a step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def scalars(self, *, num_tokens: int) -> dict[str, float]:
        """Return seconds per phase and altogether, and sampled tokens per second."""
        total = time.perf_counter() - self._started
        seconds = {f"seconds/{name}": value for name, value in self.seconds.items()}
        return {**seconds, "seconds": total, "tokens_per_second": num_tokens / total}


def describe(
    trajectories: Sequence[Trajectory], table: StepTable, shaped: Shaped, *, success: float
) -> dict[str, float]:
    """Return what a step's episodes were like; `trajectories` are those of the table."""
    outcomes = np.array([trajectory.outcome for trajectory in trajectories])
    terms = {
        f"terms/{name}": float(table.per_trajectory(table.term(name)).mean())
        for name in table.term_names
    }
    shaped_terms = {
        f"shaped/{name}": float(table.per_trajectory(values).mean())
        for name, values in shaped.terms.items()
    }
    gates = {f"gates/{name}": float(values.mean()) for name, values in shaped.gates.items()}
    return {
        "success": float((outcomes >= success).mean()),
        "reward": float(table.per_trajectory(shaped.rewards).mean()),
        "episodes": float(table.num_trajectories),
        "turns": float(table.lengths.mean()),
        "truncated": float(1 - table.terminated.mean()),
        "tokens": float(table.token_start[-1]),
        "zero_variance_groups": float(equal_groups(table, shaped.rewards).sum()),
        "rewritten": float(sum(max(0, len(each.segments) - 1) for each in trajectories)),
        "malformed_calls": float(_malformed_calls(trajectories)),
        "drift": float(sum(trajectory.drift for trajectory in trajectories)),
        **terms,
        **shaped_terms,
        **gates,
    }


def _malformed_calls(trajectories: Sequence[Trajectory]) -> int:
    """Count the calls of tools that could not be read: they kept their text as arguments."""
    return sum(
        read_arguments(call) is None
        for trajectory in trajectories
        for step in trajectory.steps
        for call in step.message.tool_calls
    )
