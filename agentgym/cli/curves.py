"""Learning curves that two trainings have in common."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.store.run import Run

_NAMES = ("success", "reward", "eval/sampled/success")


def common_curves(a: "Run", b: "Run") -> dict[str, Any]:
    """Return the curves at the steps that both runs have, and the areas under them."""
    from agentgym.trainers.compare import area

    found: dict[str, Any] = {}
    first, second = (_curves(run) for run in (a, b))
    for name in _NAMES:
        steps = sorted(first.get(name, {}).keys() & second.get(name, {}).keys())
        if not steps:
            continue
        values = [[curves[name][step] for step in steps] for curves in (first, second)]
        areas = [area(steps, each) for each in values]
        found[name] = {
            "steps": steps,
            "a": values[0],
            "b": values[1],
            "area": {"a": areas[0], "b": areas[1], "difference": areas[1] - areas[0]},
        }
    return found


def worth_showing(curves: dict[str, Any]) -> dict[str, Any]:
    """Leave the reward out where it is success once more."""
    return {
        name: curve
        for name, curve in curves.items()
        if name != "reward" or curve != curves.get("success")
    }


def _curves(run: "Run") -> dict[str, dict[int, float]]:
    from agentgym.metrics import read_metrics

    curves: dict[str, dict[int, float]] = {}
    if run.metrics_path.is_file():
        for step, scalars in read_metrics(run.metrics_path).items():
            for name in _NAMES:
                if math.isfinite(scalars.get(name, math.nan)):
                    curves.setdefault(name, {})[step] = scalars[name]
    return curves
