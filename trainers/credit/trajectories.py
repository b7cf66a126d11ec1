"""Estimators that tell trajectories apart: what others can be built on."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.discounted_grpo import DiscountedGRPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO

__all__ = ["GRPO", "AnyTrajectoryCredit"]

AnyTrajectoryCredit = Annotated[GRPO | DiscountedGRPO | RLOO, Field(discriminator="name")]
"""Any of them, by its `name`."""
