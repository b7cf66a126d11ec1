"""What an experiment found, as numbers to print, to draw and to keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentgym.lab.draws import Estimates
from agentgym.lab.estimators import reconstructed
from agentgym.lab.probes import Probe, return_from
from agentgym.lab.statistics import Figure, Quality, Truth, judge

_BASELINES = ("grpo", "discounted_grpo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Estimators against the truth."""

    about: Mapping[str, Any]
    """The environment, the policy and the settings."""
    truth: Mapping[str, Any]
    """How the true advantages were found, and how sure they are."""
    qualities: dict[tuple[str, int], Quality]
    """By estimator and group size."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Estimators that need columns, or terms, which these episodes do not have."""

    @property
    def names(self) -> list[str]:
        """The estimators."""
        return list(dict.fromkeys(name for name, _ in self.qualities))

    @property
    def sizes(self) -> list[int]:
        """The group sizes, ascending."""
        return sorted({size for _, size in self.qualities})

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        rows = []
        for (name, size), quality in self.qualities.items():
            figures = {
                key: value._asdict() if isinstance(value, Figure) else value
                for key, value in quality._asdict().items()
            }
            figures["over"] = {other: each._asdict() for other, each in quality.over.items()}
            rows.append({"estimator": name, "size": size, **figures})
        left_out = {name: list(columns) for name, columns in self.left_out.items()}
        return {
            **self.about,
            "truth": dict(self.truth),
            "estimators": rows,
            "left_out": left_out,
            "reconstructed": reconstructed(self.names),
        }


def truth_of(probes: list[Probe], *, gamma: float) -> tuple[Truth, dict[str, Any]]:
    """Return the true advantages, and what is said of them.

    Calculated values are checked by the episodes that were drawn: how far the means of their
    returns are from them, and how far chance would put them where both are right. The latter is
    that of outcomes of 0 and 1 without discount; with discount it is an upper bound.
    """
    numbers: dict[str, int] = {}
    task = [numbers.setdefault(p.trajectory.group_id, len(numbers)) for p in probes]
    found = [
        (probe.worth.advantage, 0.0) if probe.worth else probe.estimated(gamma) for probe in probes
    ]
    advantage, squared_error = np.array(found, dtype=np.float64).T
    truth = Truth(advantage, squared_error, np.array(task, dtype=np.int64))
    said = {
        "method": "dynamic programming" if probes[0].worth else "continuations",
        "steps": len(probes),
        "tasks": len(numbers),
        "rms": float(np.sqrt(np.mean(advantage**2))),
        "error": float(np.sqrt(np.mean(squared_error))),
        "ceiling": truth.ceiling,
        "with_sign": int(truth.has_sign.sum()),
    }
    return truth, said | _check(probes, gamma)


def _check(probes: list[Probe], gamma: float) -> dict[str, Any]:
    """Compare calculated values with the returns of draws."""
    checked = [(probe, probe.worth.action) for probe in probes if probe.worth and probe.after]
    if not checked:
        return {}
    found = [
        float(np.mean([return_from(draw, probe.step, gamma=gamma) for draw in probe.draws]))
        for probe, _ in checked
    ]
    worth = np.array([value for _, value in checked])
    by_chance = worth * (1 - worth) / len(checked[0][0].draws)
    return {
        "check": {
            "difference": float(np.sqrt(np.mean((np.array(found) - worth) ** 2))),
            "by_chance": float(np.sqrt(np.mean(by_chance))),
        }
    }


def judged(estimates: Estimates, truth: Truth, *, seed: int) -> dict[tuple[str, int], Quality]:
    """Return the quality of every estimator at every size."""
    return {
        (name, size): judge(
            each,
            truth,
            seed=seed,
            others={other: estimates[other, size] for other in _BASELINES},
        )
        for (name, size), each in estimates.items()
    }
