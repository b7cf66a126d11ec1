"""The steps that estimators are asked about, and what they make of them.

All is computed by the trainer's own functions: on the whole optimiser step that used a group, or,
where none did (an evaluation), on the episodes of the group alone.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar

from agentgym.config.methods import Methods, parse_credits, parse_shapers
from agentgym.errors import ConfigError
from agentgym.rollout.collect import to_groups
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit import CreditConfig
from agentgym.trainers.recompute import (
    Update,
    check_columns,
    check_sound,
    label_of,
    name_of,
    shape_at,
)
from agentgym.trainers.shaping.base import Shaped, ShaperConfig
from agentgym.types import Trajectory

M = TypeVar("M")

TRAINED = "trained"
"""The word for what the run itself did: as recorded, or else by its own methods."""

AT_THE_END = {"progress": 1.0, "competence": 0.0}
"""Where schedules stand for episodes that no optimiser step used."""

NOTED = "noted:"
"""Before the label of a note that `agentgym recredit` wrote: its advantages are read, not computed."""

_MOST_KEPT = 32
_MOST_VALUES = 2_000_000  # numbers in what is kept: an estimator may give each token its own


def _no_notes(label: str) -> None:
    return None


class Credited(NamedTuple):
    """What one estimator made of a scene."""

    label: str
    rewards: Floats
    """[S]"""
    advantages: Floats
    """[S] or [N]"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """The steps that estimators are asked about, and what was made of them so far."""

    table: StepTable
    trajectories: tuple[Trajectory, ...]
    """[M], those of the table."""
    methods: Methods
    """Of the run; where nothing was trained, estimators are asked that nobody used."""
    schedules: Mapping[str, float]
    update: Update | None = None
    """The optimiser step that used them; None: none did."""
    where: str = "the run"
    """What messages call the run."""
    noted: Callable[[str], Floats | None] = _no_notes
    """The advantages that a note of another estimator has of the table, [S] or [N]; None: none has
    this label."""
    _known: dict[tuple[str, str], Credited] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def trained(
        cls,
        update: Update,
        methods: Methods,
        *,
        where: str = "the run",
        noted: Callable[[str], Floats | None] = _no_notes,
    ) -> Self:
        """Return the scene of an optimiser step.

        Raises:
            StoreError: its rewards or advantages are no numbers.
        """
        check_sound(update, where=where)
        return cls(
            table=update.table,
            trajectories=update.trajectories,
            methods=methods,
            schedules=update.schedules,
            update=update,
            where=where,
            noted=noted,
        )

    @classmethod
    def played(
        cls,
        trajectories: Iterable[Trajectory],
        methods: Methods,
        *,
        schedules: Mapping[str, float] = AT_THE_END,
        where: str = "the run",
    ) -> Self:
        """Return the scene of episodes that no optimiser step used; faults are left out.

        Raises:
            ConfigError: nothing is left.
        """
        found = list(trajectories)
        table = build_table(to_groups(found))
        if not table.num_steps:
            raise ConfigError(
                "no episode of this group came to an end without a fault, so that there is "
                "nothing to give credit for",
                hint="the reason of each is at its end",
            )
        by_id = {each.id: each for each in found}
        return cls(
            table=table,
            trajectories=tuple(by_id[name] for name in table.trajectory_ids),
            methods=methods,
            schedules=dict(schedules),
            where=where,
        )

    def credit(self, credit: str = TRAINED, shaping: str = TRAINED) -> Credited:
        """Return what an estimator makes of the rewards of a shaper; both as `name,key=value`.

        Raises:
            ConfigError: there is no such method or setting, its settings are out of proportion, or
                it needs a column that is not there.
        """
        key = (credit.strip() or TRAINED, shaping.strip() or TRAINED)
        with self._lock:
            if key in self._known:
                return self._known[key]
        found = self._made(*key)
        with self._lock:
            self._known[key] = found
            while len(self._known) > 1 and self._is_full:
                del self._known[next(iter(self._known))]
        return found

    def _made(self, credit: str, shaping: str) -> Credited:
        if credit.startswith(NOTED):
            return self._noted(credit.removeprefix(NOTED), shaping)
        return self._compute(_estimator(credit), parse_shaper(shaping))

    @property
    def _is_full(self) -> bool:
        values = sum(len(each.advantages) for each in self._known.values())
        return len(self._known) > _MOST_KEPT or values > _MOST_VALUES

    def _compute(self, credit: CreditConfig | None, shaper: ShaperConfig | None) -> Credited:
        label = _label(credit or (None if self.update else self.methods.credit), shaper)
        if self.update and shaper is None and credit is None:
            return Credited(label, self.update.rewards, self.update.advantages)
        estimator = credit or self.methods.credit
        check_columns(estimator, self.table, where=self.where)
        rewards = self._rewards(shaper)
        try:
            return Credited(label, rewards, estimator(self.table, rewards))
        except ValueError as error:
            hint = f"agentgym config explain credit.name={name_of(estimator)} lists its keys"
            raise ConfigError(str(error), hint=hint) from error

    def _noted(self, label: str, shaping: str) -> Credited:
        if shaping != TRAINED:
            raise ConfigError(
                f"the note of {label} has the advantages that it has, of the rewards of the run",
                hint=f"leave out shaping, or write credit={label} to compute it on other rewards",
            )
        if self.update is None or (advantages := self.noted(label)) is None:
            raise ConfigError(
                f"{self.where} has no note of {label[:80]!r} here",
                hint="agentgym recredit RUN --credit NAME writes them",
            )
        return Credited(f"{NOTED}{label}", self.update.rewards, advantages)

    def shape(self, shaper: ShaperConfig) -> Shaped:
        """Return what a shaper makes of the steps, its schedules standing where they stood.

        Raises:
            ConfigError: a reward is too large to compute with.
        """
        return shape_at(self.schedules, shaper, self.table)

    def _rewards(self, shaper: ShaperConfig | None) -> Floats:
        if self.update and shaper is None:
            return self.update.rewards
        return self.shape(shaper or self.methods.shaping).rewards


def parse_shaper(text: str) -> ShaperConfig | None:
    """Return the shaper that is written as `name,key=value`; None: that of the run.

    Raises:
        ConfigError: there is no such shaper or setting.
    """
    return None if text == TRAINED else _only(text, parse_shapers([text]))


def _label(credit: CreditConfig | None, shaper: ShaperConfig | None) -> str:
    label = label_of(credit) if credit else TRAINED
    return f"{label} on {label_of(shaper)}" if shaper else label


def _estimator(text: str) -> CreditConfig | None:
    return None if text == TRAINED else _only(text, parse_credits([text]))


def _only(text: str, found: Mapping[str, M]) -> M:
    if len(found) != 1:
        raise ConfigError(
            f"{text!r} names {len(found)} methods, expected one",
            hint="one at a time; `minus` takes another one off",
        )
    return next(iter(found.values()))
