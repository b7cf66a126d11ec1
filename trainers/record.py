"""What an optimiser step leaves in the run's notes, so that nothing has to be guessed later.

A step that was repeated after a crash has two notes; the later one is the history.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.store.notes import NoteWriter
from agentgym.table import Floats, Ints, StepTable
from agentgym.trainers.recompute import SCHEMA, TRAINER, UPDATE, annotations
from agentgym.trainers.shaping.base import Shaped
from agentgym.trainers.updated import Updated


class Recorder:
    """Writes one note per optimiser step."""

    def __init__(self, run_dir: Path, *, pid: int | None = None) -> None:
        self._notes = NoteWriter(run_dir, producer=TRAINER, pid=pid)

    def update(
        self,
        *,
        step: int,
        version: int,
        schedules: Mapping[str, float],
        table: StepTable,
        shaped: Shaped,
        advantages: Floats,
        updated: Updated,
        staleness: Ints,
    ) -> None:
        """Record which trajectories a step used, in order, and what became of their tokens.

        Columns: `step_start` [M + 1] and `token_start` [S + 1] tell whose the rows of the others
        are; `rewards` [S] and `advantages` ([S] or [N]) are float64; `raw/TERM` [S], every term
        of the environment, and `shaped/TERM` [S], what the shaper made of it, which add up to the
        rewards; `gate/TERM` [M], the share of the term that counted; `logprobs`, `weights`, `cause`
        [N] are as in `Updated`; `staleness` [N] is by how many versions older the policy was that
        sampled a token; each annotation of the table stands under its own name. With the
        trajectories this is all that `recompute.py` needs.
        """
        payload: dict[str, Any] = {
            "schema": SCHEMA,
            "step": step,
            "version": version,
            "schedules": dict(schedules),
            "trajectories": list(table.trajectory_ids),
        }
        raw = {f"raw/{name}": table.term(name) for name in table.term_names}
        parts = {f"shaped/{name}": values for name, values in shaped.terms.items()}
        gates = {f"gate/{name}": values for name, values in shaped.gates.items()}
        columns: dict[str, NDArray[Any]] = {
            "step_start": table.step_start,
            "token_start": table.token_start,
            "rewards": np.asarray(shaped.rewards, dtype=np.float64),
            "advantages": np.asarray(advantages, dtype=np.float64),
            **raw,
            **parts,
            **gates,
            "logprobs": updated.logprobs,
            "weights": updated.weights,
            "cause": updated.cause,
            "staleness": staleness.astype(np.int32),
        }
        self._notes.append(UPDATE, payload, columns | annotations(table))

    def sync(self) -> None:
        """Bring what was noted to the disk."""
        self._notes.sync()

    def close(self) -> None:
        """Close the notes. Idempotent."""
        self._notes.close()
