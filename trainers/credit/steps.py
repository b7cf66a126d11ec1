"""Estimators that look inside of trajectories."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.salt import SALT

AnyStepCredit = Annotated[GiGPO | SALT, Field(discriminator="name")]
"""Any of them, by its `name`."""
