"""The task's own verdict and nothing else."""

from typing import Literal

from agentgym.trainers.shaping.base import OUTCOME, Shaped, ShaperConfig, StepTable


class Outcome(ShaperConfig):
    """The term `outcome`, on the steps where the environment gave it."""

    name: Literal["outcome"] = "outcome"

    def __call__(self, table: StepTable, *, progress: float) -> Shaped:
        """Take the term as it is; `progress` changes nothing."""
        return Shaped(table.term(OUTCOME).copy(), {})
