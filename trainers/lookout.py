"""The batches of a run so far: how competent the policy is, and whether shaping goes wrong."""

import logging
from collections.abc import Iterable, Sequence

from agentgym.store.run import Run
from agentgym.table import StepTable
from agentgym.trainers.shaping.alarms import alarms
from agentgym.trainers.shaping.base import Shaped
from agentgym.trainers.shaping.history import History

logger = logging.getLogger(__name__)


class Lookout:
    """Keeps the history of a run, and tells of each alarm once."""

    def __init__(self, run: Run, *, success: float) -> None:
        self._run = run
        self._success = success
        self._history = History()
        self._told: set[str] = set()

    @property
    def competence(self) -> float:
        """Share of recent episodes that succeeded, 0 to 1."""
        return self._history.competence

    @property
    def state(self) -> list[list[float]]:
        """The history as plain numbers, for a checkpoint."""
        return [list(batch) for batch in self._history.batches]

    def restore(self, state: Iterable[Sequence[float]]) -> None:
        """Go on from the history of a checkpoint."""
        self._history = History(state)

    def add(self, table: StepTable, shaped: Shaped) -> None:
        """Take the batch of a step that is done."""
        self._history.add(table, shaped, success=self._success)

    def sound(self, step: int, table: StepTable, shaped: Shaped) -> dict[str, float]:
        """Tell of what is wrong for the first time; return every alarm as a scalar."""
        found = alarms(table, shaped, self._history.batches, success=self._success)
        for alarm in found:
            if alarm.is_on and alarm.name not in self._told:
                self._told.add(alarm.name)
                self._run.event("alarm", step=step, alarm=alarm.name, reason=alarm.words)
                logger.warning("step %d: %s", step, alarm.words)
        return {f"shaping/alarm_{alarm.name}": float(alarm.is_on) for alarm in found}
