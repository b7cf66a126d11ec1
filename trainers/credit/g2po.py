"""G2PO: steps are judged by the value of the state they lead to, and by what they gain."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    center_steps,
    following,
    group_stats,
    number_states,
    steps_left,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class G2PO(CreditConfig):
    """A trajectory's advantage plus two of the step, on values that trajectories share by state.

        V(s) = mean of gamma^(T_i - t) R_i over the visits of s in the group, t from 0
        next_{i,t} = V(s_{t+1}), and R_i after the last step;  gain_{i,t} = next_{i,t} - V(s_t)
        A^S_{i,t} = (next - mean) / (std + 1e-6)    among the group's steps from an equal state
                  + (gain - mean) / (std + 1e-6)    among all steps of the group
        A_{i,t} = base_i + step_weight A^S_{i,t}

    R_i is the trajectory's return, wherever in it the rewards lie. A step alone at its state has
    the first part 0, the only step of a group both. A state without a key is no other's.

    `norm = "mean_norm"` leaves out both divisions; that of the base is its own.

    Source: arXiv:2606.22995 (its abstract read) by way of its authors' code, g2po/core_g2po.py in
    Nala-YN/G2PO at b8ffaf5 (read, and its numbers reproduced). Deviations from that code: after
    the last step it knows 10 and 0, the rewards of its environments for success and failure; for
    those it is the same. Its episode statistics are over steps (`base = {name = "grpo",
    cross_steps = true, singletons = "raw"}`). Its penalty for invalid actions, taken from `next`
    in the first part alone, is a reward term here. The only step of a group is NaN there.
    """

    name: Literal["g2po"] = "g2po"
    sureness: ClassVar[Sureness] = "run"
    switches: ClassVar[Mapping[str, str]] = {"gamma": "step_weight"}
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount from step to step, and of the return at the last one too."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    norm: Literal["mean_norm", "mean_std_norm"] = "mean_std_norm"
    """Subtract the means of both parts, and divide by the stds or not."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    @property
    def discounts(self) -> Mapping[str, float]:
        """The steps' part compares whole returns: `gamma` only says what they are worth before."""
        return {key: 1.0 if key == "gamma" else each for key, each in super().discounts.items()}

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        return relative + self.step_weight * self.step_advantages(table, rewards)

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^S for each step, [S]."""
        returns = table.per_trajectory(rewards)[table.trajectory]
        states = number_states(table)
        values = group_stats(self.gamma ** (steps_left(table) + 1) * returns, states).mean[states]
        after = following(values, table, last=returns)
        scale = self.norm == "mean_std_norm"
        among_state = center_steps(table, after, states, scale=scale)
        return among_state + center_steps(table, after - values, table.step_group, scale=scale)
