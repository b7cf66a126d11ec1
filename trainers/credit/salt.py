"""SALT: trajectories share the advantage of the transitions that they have in common."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    Sureness,
    number_rows,
    unshared,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class SALT(CreditConfig):
    """A trajectory's advantage, averaged over the occurrences of each transition in its group.

        transition of step t = (last `history` pairs of action and observation, a_t, o_{t+1})
        A_{i,t} = mean of the base advantage A_j over all (j, u) in the group with that transition

    Steps that successes and failures share go to about 0; those that decide keep their sign. A
    transition counts as often as it occurs, so sums are conserved. Without a next observation a
    step is merged with nothing. An observation is known by its state key; before the first pair
    stands the first observation.

    Source: arXiv:2510.20022. Its text could not be read: the rule is that of two independent
    accounts which agree (an implementation with its tests, and another paper's appendix), and the
    default of `history` is the implementation's. Keys match exactly, not by embeddings.
    """

    name: Literal["salt"] = "salt"
    sureness: ClassVar[Sureness] = "second-hand"
    history: int = Field(default=3, ge=1)
    """How many earlier pairs of action and observation must be equal too."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage to start from."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Average the base advantage over equal transitions."""
        return self.merge(table, self.base.relative(table, rewards))

    def merge(self, table: StepTable, relative: Floats) -> Floats:
        """Average trajectory advantages [M] over equal transitions, giving [S]."""
        edges = self.transitions(table)
        sums = np.bincount(edges, weights=relative[table.trajectory])
        return np.asarray(sums / np.maximum(np.bincount(edges), 1))[edges]

    def transitions(self, table: StepTable) -> Ints:
        """Number the transitions: [S], equal where they are merged."""
        pairs = number_rows(table.step_group, table.action, unshared(table.next_state))
        root = -2 - table.state[table.step_start[:-1]][table.trajectory]
        edges = pairs
        for back in range(1, min(self.history, int(table.lengths.max(initial=0))) + 1):
            edges = number_rows(edges, np.where(table.step < back, root, np.roll(pairs, back)))
        return edges
