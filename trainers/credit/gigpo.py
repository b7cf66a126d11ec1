"""GiGPO: groups of trajectories, and inside them groups of steps that share a state."""

from typing import Literal

from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    Singletons,
    StepTable,
    center,
    discounted_returns,
    number_rows,
    unshared,
)


class GiGPO(CreditConfig):
    """An episode advantage plus one among the steps taken from the same state.

        R_i = sum_t r_{i,t}                    A^E_i     = norm of R_i within the task's group
        G_{i,t} = sum_k gamma^(k-t) r_{i,k}    A^S_{i,t} = norm of G_{i,t} among the steps of the
                                                           task's group with an equal state
        A_{i,t} = A^E_i + step_weight * A^S_{i,t}

    A state seen once, or without a key, has A^S = 0. A trajectory that returns to a state counts
    there each time, so a loop is compared with itself.

    Source: arXiv:2505.10978, equations 3 to 8, by way of its authors' code verl-agent (read, and
    its numbers reproduced). Deviations from that code: episode statistics are over trajectories
    as in the paper (`cross_steps` is the code's way), and a group of one has A^E = 0. The code's
    penalty for invalid actions is a reward term here; states match exactly, not by similarity.
    """

    name: Literal["gigpo"] = "gigpo"
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount of the step returns; the episode's return has none."""
    step_weight: float = Field(default=1.0, ge=0)
    """0, with the other defaults, is GRPO."""
    norm: Literal["mean_norm", "mean_std_norm"] = "mean_std_norm"
    """Subtract the mean, and divide by the std or not; at both levels."""
    episode_stats: Literal["per_trajectory", "cross_steps"] = "per_trajectory"
    """`cross_steps`: every step counts its trajectory's return, so long ones weigh more."""
    singletons: Singletons = "zero"
    """`raw`: where the episode statistics are of one value, it is kept, as in verl-agent."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        episode = self.episode_advantages(table, rewards)
        return episode + self.step_weight * self.step_advantages(table, rewards)

    def episode_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^E for each step, [S]."""
        returns = table.per_trajectory(rewards)
        scale = self.norm == "mean_std_norm"
        if self.episode_stats == "cross_steps":
            rows = returns[table.trajectory]
            return center(rows, table.step_group, scale=scale, singletons=self.singletons)
        relative = center(returns, table.group, scale=scale, singletons=self.singletons)
        return relative[table.trajectory]

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^S for each step, [S]."""
        returns = discounted_returns(table, rewards, gamma=self.gamma)
        anchors = number_rows(table.step_group, unshared(table.state))
        return center(returns, anchors, scale=self.norm == "mean_std_norm")
