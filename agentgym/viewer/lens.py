"""The estimator lens: what any estimator, on any rewards, would have made of the steps on screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentgym.table import Floats, StepTable
from agentgym.trainers.agreement import per_step
from agentgym.trainers.credit import CREDITS
from agentgym.viewer.scene import TRAINED, Scene


@dataclass(frozen=True, kw_only=True, eq=False)
class Lens:
    """Advantages of some episodes, or the difference of two estimators there."""

    label: str
    returns: Mapping[str, float]
    """By episode, under the rewards that the (first) estimator was given."""
    steps: Mapping[str, Floats]
    """By episode, [T_i]; where tokens have their own, the mean of a step's."""
    tokens: Mapping[str, Floats]
    """By episode, one for each sampled token."""
    has_tokens: bool
    """Whether tokens of one step differ by the estimator's will."""

    @property
    def most(self) -> float:
        """How far from 0 an advantage is at most: of tokens, or of steps where there are none."""
        values = [*self.tokens.values(), *self.steps.values()]
        return float(max((np.abs(each).max() for each in values if len(each)), default=0.0))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the tokens: those travel as columns."""
        return {
            "label": self.label,
            "returns": dict(self.returns),
            "steps": {name: values.tolist() for name, values in self.steps.items()},
            "tokens": self.has_tokens,
            "most": self.most,
            "known": list(CREDITS),
        }


def look(
    scene: Scene,
    episodes: Sequence[str],
    *,
    credit: str = TRAINED,
    minus: str | None = None,
    shaping: str = TRAINED,
) -> Lens:
    """Return what an estimator, less another one, gives the steps of some episodes.

    Episodes that are not in the scene (faults) are left out.

    Args:
        scene: where to look.
        episodes: ids of those that are on screen.
        credit: an estimator as in `--credit`: `name,key=value`; "trained" is what the run did.
        minus: another one, whose advantages are taken off; None or empty: nothing is.
        shaping: the shaper whose rewards both are given.

    Raises:
        ConfigError: as `Scene.credit`.
    """
    found = scene.credit(credit, shaping)
    label, advantages = found.label, found.advantages
    if minus:
        other = scene.credit(minus, shaping)
        label = f"{label} - {other.label}"
        advantages = _difference(scene.table, advantages, other.advantages)
    table = scene.table
    has_tokens = len(advantages) != table.num_steps
    steps, tokens = per_step(advantages, table), spread(advantages, table)
    returns = table.per_trajectory(found.rewards)
    rows = {name: row for row, name in enumerate(table.trajectory_ids)}
    shown = {name: rows[name] for name in episodes if name in rows}
    starts, places = table.step_start, table.token_start[table.step_start]
    return Lens(
        label=label,
        returns={name: float(returns[row]) for name, row in shown.items()},
        steps={name: steps[starts[row] : starts[row + 1]] for name, row in shown.items()},
        tokens={name: tokens[places[row] : places[row + 1]] for name, row in shown.items()},
        has_tokens=has_tokens,
    )


def spread(values: Floats, table: StepTable) -> Floats:
    """Return values of steps [S] for each of their tokens, [N]; those of tokens as they are."""
    if len(values) != table.num_steps:
        return values
    return np.repeat(values, np.diff(table.token_start))


def _difference(table: StepTable, a: Floats, b: Floats) -> Floats:
    if len(a) == len(b) == table.num_steps:
        return a - b
    return spread(a, table) - spread(b, table)
