"""Estimators that give each step one advantage: what weightings can scale."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.steps import AnyStepCredit
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit

__all__ = ["GRPO", "AnyRefinedCredit"]

AnyRefinedCredit = Annotated[AnyTrajectoryCredit | AnyStepCredit, Field(discriminator="name")]
"""Any of them, by its `name`."""
