"""The curves of a run, in bounded memory: of a long training every second point goes, and again."""

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agentgym.viewer.lines import GrowingLines

POINTS = 2048
"""The most points that a curve keeps, and one for its end."""

_CURVES = 4096  # names; more are no curves, but a mistake
_LARGEST = 1e300  # and NaN is not below it either


class Curve:
    """One scalar by step. It keeps the steps that its stride divides, and the last one."""

    def __init__(self) -> None:
        self.stride = 1
        self._points: dict[int, float | None] = {}
        self._last: tuple[int, float | None] | None = None

    def add(self, step: int, value: float | None) -> None:
        """Take a point; one of the same step is replaced."""
        if self._last is None or step >= self._last[0]:
            self._last = step, value
        if step % self.stride:
            return
        self._points[step] = value
        while len(self._points) > POINTS:
            self.stride *= 2
            self._points = {at: y for at, y in self._points.items() if at % self.stride == 0}

    @property
    def points(self) -> dict[int, float | None]:
        """What is kept, by step; None: the number was not finite."""
        return self._points | dict([self._last] if self._last else [])


class Scalars:
    """All curves of a `metrics.jsonl`, read on as it grows."""

    def __init__(self, path: Path) -> None:
        self._lines = GrowingLines(path)
        self._curves: dict[str, Curve] = {}
        self.taken = 0
        """Lines that were read."""

    def refresh(self) -> None:
        """Read what is new."""
        if self._lines.is_another():
            self._lines.restart()
            self._curves = {}
        for line in self._lines.new():
            self._take(line)
            self.taken += 1

    @property
    def names(self) -> list[str]:
        """The names of the curves, as they came up."""
        return list(self._curves)

    def last(self, name: str) -> float | None:
        """Return the newest value of a scalar; None: there is none."""
        curve = self._curves.get(name)
        points = curve.points if curve else {}
        return points[max(points)] if points else None

    def to_json(self, patterns: Iterable[str]) -> dict[str, Any]:
        """Return the curves whose names match one of the patterns (`loss`, `eval/*`).

        `lost` has the steps at which a curve was not finite.
        """
        wanted = [*patterns]
        found = {
            name: curve.points
            for name, curve in list(self._curves.items())
            if any(fnmatch.fnmatchcase(name, each) for each in wanted)
        }
        steps = sorted({step for points in found.values() for step in points})
        lost = {
            name: sorted(at for at in points if points[at] is None)
            for name, points in found.items()
        }
        return {
            "step": steps,
            "series": {
                name: [points.get(step) for step in steps] for name, points in found.items()
            },
            "lost": {name: at for name, at in lost.items() if at},
        }

    def _take(self, line: Mapping[str, Any]) -> None:
        step = line.get("step")
        if type(step) is not int or abs(step) >= 1 << 53:
            return
        for name, value in line.items():
            if name in ("step", "time") or not _is_scalar(value):
                continue
            if name in self._curves or len(self._curves) < _CURVES:
                is_known = value is not None and abs(value) < _LARGEST
                self._curves.setdefault(name, Curve()).add(step, float(value) if is_known else None)


def _is_scalar(value: Any) -> bool:
    return value is None or type(value) in (int, float)
