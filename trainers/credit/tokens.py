"""Estimators that give each token an advantage of its own."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.bilevel_gae import BilevelGAE
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.reinforce_pp import ReinforcePP

AnyTokenCredit = Annotated[ReinforcePP | GAE | BilevelGAE, Field(discriminator="name")]
"""Any of them, by its `name`."""
