"""COPO: where a group's answers agree, groups are compared with each other."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    Floats,
    Ints,
    StepTable,
    Sureness,
    TrajectoryCredit,
    center,
    group_stats,
    number_rows,
    unshared,
)


class COPO(TrajectoryCredit):
    """Trajectories are judged in their group as far as its answers differ, else by their group.

        H_j = -sum_o p(o) log2 p(o) over the different answers o of group j
        w = 1 / (1 + exp(-slope (H_j - threshold)));  of a trajectory whose return is 0: w = 0
        local_i = (R_i - mean_j) / (std_j + 1e-6)
        global_j = (mean_j - mean) / (std + 1e-6), over the groups of the batch
        A_i = w local_i + (1 - w) global_j

    So a group that agrees still teaches: more of what it does where it is better than the batch,
    less where it is worse. With `zeros = "blended"` failures have the w of their group, else they
    are judged by their group alone: one in a group that does well is reinforced.

    One answer cannot agree with another: a group of one has 0 and is not in the batch's mean. One
    group alone has global 0.

    What an answer is, is a guess for agents: the key of the last action, and without a key each
    is its own. With `answers = "return"` equal returns are equal answers; two outcomes then have
    H of at most 1, which is the default of `threshold`, and w is at most a half.

    Source: arXiv:2508.04138 by way of its authors' code, verl/trainer/ppo/core_algos.py and
    verl/run_copo.sh in hijih/copo-code at f66883f and c15c75f (read; not run): `soft-with-zero`,
    which its README calls the method, and its slope and threshold; an account of the paper has 20
    and 1.5. Deviation: there two clipped losses are blended, here their advantages, which is the
    same wherever nothing is clipped. By public reviews, the paper's own ablation has 60.35 with
    global alone and 60.38 with both.
    """

    name: Literal["copo"] = "copo"
    sureness: ClassVar[Sureness] = "code"
    slope: float = Field(default=5.0, gt=0)
    """How sharply w changes with H; the paper's gamma."""
    threshold: float = Field(default=1.0, ge=0)
    """H in bits at which both count alike; the paper's rho."""
    answers: Literal["action", "return"] = "action"
    """What is compared: keys of last actions, or returns."""
    zeros: Literal["global", "blended"] = "global"
    """How a trajectory with the return 0 is judged: by its group alone, or as the others are."""

    def relative(self, table: StepTable, rewards: Floats) -> Floats:
        """Blend both levels."""
        returns = table.per_trajectory(rewards)
        weight = self._local_weight(table, returns)
        local = center(returns, table.group, scale=True)
        return np.asarray(weight * local + (1 - weight) * self._between(table.group, returns))

    def _local_weight(self, table: StepTable, returns: Floats) -> Floats:
        """Return w for each trajectory, [M]."""
        size = np.bincount(table.group)
        alike = number_rows(table.group, self._answers(table, returns))
        share = np.bincount(alike)[alike] / size[table.group]
        entropy = np.bincount(table.group, weights=-np.log2(share)) / size
        weight = (1 + np.tanh(self.slope / 2 * (entropy - self.threshold))) / 2  # never overflows
        blended = (returns != 0) | (self.zeros == "blended")
        return np.where(blended, weight[table.group], 0.0)

    def _answers(self, table: StepTable, returns: Floats) -> Ints:
        """Number the answers: [M], equal where trajectories agree."""
        if self.answers == "action":
            return unshared(table.action[table.step_start[1:] - 1])
        return np.unique(returns.round(9), return_inverse=True)[1]

    def _between(self, group: Ints, returns: Floats) -> Floats:
        """Return the advantage of each trajectory's group among those of the batch, [M]."""
        size, mean, _ = group_stats(returns, group)
        several = np.flatnonzero(size > 1)
        compared = np.zeros(len(size))
        compared[several] = center(mean[several], np.zeros_like(several), scale=True)
        return compared[group]
