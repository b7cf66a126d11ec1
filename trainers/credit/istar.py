"""iStar: rewards of a process reward model, standardised over the steps of a group."""

from typing import ClassVar, Literal

from pydantic import Field

from agentgym.trainers.credit.base import (
    EPS,
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    center_steps,
    group_stats,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class IStar(CreditConfig):
    """A trajectory's advantage plus the standardised process reward of each step.

        A_{i,t} = A_i + step_weight (p_{i,t} - mean p) / (std p + 1e-6)

    Mean and std are over all steps of the group that sampled a token. p is the column `process_reward`: in iStar the
    implicit reward beta sum over the step's tokens (log pi_prm - log pi_ref).

    Source: Tongyi-ConvAI/Qwen-Character, CharacterRL-iStar (read, and its numbers reproduced with
    `compat`). Deviation: that code takes mean and std from the first step of each trajectory only,
    by a mistake; the statistics over all steps are reconstructed from what it intends.
    """

    name: Literal["istar"] = "istar"
    sureness: ClassVar[Sureness] = "reconstructed"
    requires: ClassVar[tuple[str, ...]] = ("process_reward",)
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""
    compat: bool = False
    """The statistics of the released code: of first steps only."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        return relative + self.step_weight * self.step_advantages(table)

    def step_advantages(self, table: StepTable) -> Floats:
        """Return the standardised process rewards, [S]."""
        assert table.process_reward is not None, "it is required"
        if not self.compat:
            return center_steps(table, table.process_reward, table.step_group, scale=True)
        _, mean, std = group_stats(table.process_reward[table.step_start[:-1]], table.group)
        distance = table.process_reward - mean[table.step_group]
        return distance / (std[table.step_group] + EPS)


def implicit_reward(logprobs: Floats, reference_logprobs: Floats, *, beta: float = 0.05) -> float:
    """Return the implicit reward of a step from the log-probabilities of its tokens, [T] each."""
    return float(beta * (logprobs - reference_logprobs).sum())
