"""The task's own verdict and nothing else."""

from typing import Literal

from agentgym.trainers.shaping.base import OUTCOME, Shaped, ShaperConfig, StepTable


class Outcome(ShaperConfig):
    """The term `outcome`, on the steps where the environment gave it.

    The sparse ablation of every other shaper: `shaping = "off"` means it.
    """

    name: Literal["outcome"] = "outcome"

    @property
    def needs(self) -> tuple[str, ...]:
        """The outcome."""
        return (OUTCOME,)

    def __call__(self, table: StepTable, *, progress: float, competence: float = 0.0) -> Shaped:
        """Take the term as it is; neither `progress` nor `competence` changes anything."""
        values = table.term(OUTCOME)
        return Shaped(values.copy(), {}, {OUTCOME: values.copy()})
