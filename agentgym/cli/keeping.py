"""Results kept as notes beside the episodes of a run, where that can be done."""

from collections.abc import Mapping
from typing import Any

from agentgym.cli.output import note
from agentgym.errors import StoreError
from agentgym.store.columns import Columns
from agentgym.store.notes import NewNoteWriter


class KeptNotes(NewNoteWriter):
    """Appends notes as long as they can be written; then it warns once, and drops the rest.

    Results are printed all the same, so that the record of somebody else can be looked into.
    """

    _failed = False

    def add(self, payload: Mapping[str, Any], columns: Columns) -> bool:
        """Write a note unless an equal one is there; return whether it was written."""
        if self._failed:
            return False
        try:
            return super().add(payload, columns)
        except StoreError as error:
            self._give_up(error)
            return False

    def close(self) -> None:
        """Sync, and free the file. Idempotent."""
        try:
            super().close()
        except StoreError as error:
            self._give_up(error)

    def _give_up(self, error: StoreError) -> None:
        if not self._failed:
            note(f"warning: {error}; results are printed and not kept, as with --no-notes")
        self._failed = True
