"""The batches of a run so far: how competent the policy is, and whether shaping goes wrong."""

import logging
from collections.abc import Mapping
from typing import Any

from agentgym.store.run import Run
from agentgym.table import StepTable
from agentgym.trainers.shaping.alarms import alarms
from agentgym.trainers.shaping.base import Shaped, ShaperConfig, missing_terms
from agentgym.trainers.shaping.history import History

logger = logging.getLogger(__name__)

_QUIET = 10  # steps without an alarm, after which it is news again
_PATIENCE = 3  # steps in which a term is looked for: a rare one may be missing in the first


class Lookout:
    """Keeps the history of a run, and tells of what looks wrong without telling it every step."""

    def __init__(self, run: Run, *, shaping: ShaperConfig, success: float) -> None:
        self._run = run
        self._success = success
        self._history = History()
        self._last_on: dict[str, int] = {}
        self._looked = 0
        self._missing = missing_terms(shaping, ())

    @property
    def competence(self) -> float:
        """Share of recent episodes that succeeded, 0 to 1."""
        return self._history.competence

    @property
    def state(self) -> dict[str, Any]:
        """The history, and what was told, as plain values for a checkpoint."""
        return {
            "batches": [list(batch) for batch in self._history.batches],
            "last_on": dict(self._last_on),
            "looked": self._looked,
            "missing": list(self._missing),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a checkpoint; what it lacks is as at the start."""
        self._history = History(state.get("batches", ()))
        self._last_on = dict(state.get("last_on", {}))
        self._looked = state.get("looked", 0)
        self._missing = list(state.get("missing", self._missing))

    def add(self, step: int, table: StepTable, shaped: Shaped) -> None:
        """Take everything that was played for a step, whether it is trained on or not."""
        self._history.add(table, shaped, success=self._success)
        if self._looked < _PATIENCE:
            self._look_for_terms(step, table)

    def sound(self, step: int, table: StepTable, shaped: Shaped) -> dict[str, float]:
        """Tell of each alarm as it comes on; return every alarm as a scalar.

        One that comes on again is told again where it was off for ten steps.
        """
        found = alarms(table, shaped, self._history.batches, success=self._success)
        for alarm in found:
            if not alarm.is_on:
                continue
            if alarm.name not in self._last_on or step - self._last_on[alarm.name] > _QUIET:
                self._run.event("alarm", step=step, alarm=alarm.name, reason=alarm.words)
                logger.warning("step %d: %s", step, alarm.words)
            self._last_on[alarm.name] = step
        return {f"shaping/alarm_{alarm.name}": float(alarm.is_on) for alarm in found}

    def warn(self, step: int, words: str) -> None:
        """Tell of what is doubtful, in the run's events and on stderr."""
        self._run.event("warning", step=step, reason=words)
        logger.warning("%s", words)

    def _look_for_terms(self, step: int, table: StepTable) -> None:
        """Tell of terms that nothing gave: a misspelt one pays 0 without a word."""
        self._looked += 1
        self._missing = [name for name in self._missing if name not in table.term_names]
        if self._looked < _PATIENCE:
            return
        known = ", ".join(table.term_names) or "none"
        for name in self._missing:
            self.warn(
                step,
                f"none of the episodes of {_PATIENCE} steps has the term {name!r}, which pays 0; "
                f"those of this step have: {known}",
            )
