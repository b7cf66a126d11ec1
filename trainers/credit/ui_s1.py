"""UI-S1: returns that reach back only as far as the steps were right."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    StepTable,
    Sureness,
    carry_back,
    center_steps,
    following,
    number_rows,
    steps_left,
)
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class UIS1(CreditConfig):
    """A trajectory's advantage plus one among the steps at the same position of the group.

        G_t = r_t + gamma G_{t+1} where steps t and t + 1 matched the expert, else r_t
        A^S_{i,t} = G_{i,t} - mean, divided by std + 1e-6, among the steps t of the group
        A_{i,t} = episode_weight A^E_i + step_weight A^S_{i,t}

    Whether a step matched is a reward term of the environment, above 0 where it did. A batch
    without the term is refused: environments give it, be it 0, in every episode.

    Source: X-PLUG/MobileAgent, UI-S1/uis1/core_uis1.py (read, and the returns reproduced). Its
    statistics of the episode are over steps: `base = {name = "grpo", cross_steps = true}`.
    """

    name: Literal["ui_s1"] = "ui_s1"
    sureness: ClassVar[Sureness] = "run"
    switches: ClassVar[Mapping[str, str]] = {"base": "episode_weight", "gamma": "step_weight"}
    match_term: str = Field(default="match", min_length=1)
    """The reward term that says whether a step matched."""
    gamma: float = Field(default=0.5, gt=0, le=1)
    """Discount from step to step."""
    episode_weight: float = Field(default=1.0, ge=0)
    """Of the base."""
    step_weight: float = Field(default=1.0, ge=0)
    """Of the steps' part."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""

    def read_terms(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return `match_term`."""
        return (self.match_term,)

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        relative = self.base.advantages(table, rewards)
        returns = self.returns(table, rewards)
        positions = number_rows(table.step_group, table.step)
        steps = center_steps(table, returns, positions, scale=True)
        return self.episode_weight * relative + self.step_weight * steps

    def returns(self, table: StepTable, rewards: Floats) -> Floats:
        """Return G for each step, [S]."""
        matched = np.where(table.term(self.match_term) > 0, 1.0, 0.0)
        decay = self.gamma * matched * following(matched, table)
        return carry_back(rewards, decay, steps_left(table))
