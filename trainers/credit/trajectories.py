"""Estimators that tell trajectories apart: what others can be built on."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.asymre import AsymRE
from agentgym.trainers.credit.bnpo import BNPO
from agentgym.trainers.credit.copo import COPO
from agentgym.trainers.credit.discounted_grpo import DiscountedGRPO
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gdpo import GDPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.mc_grpo import MCGRPO
from agentgym.trainers.credit.ngrpo import NGRPO
from agentgym.trainers.credit.opmd import OPMD
from agentgym.trainers.credit.opo import OPO
from agentgym.trainers.credit.reinforce_ada import ReinforceAda
from agentgym.trainers.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentgym.trainers.credit.riskpo import RiskPO
from agentgym.trainers.credit.rloo import RLOO

__all__ = ["GRPO", "AnyTrajectoryCredit"]

AnyTrajectoryCredit = Annotated[
    GRPO
    | DrGRPO
    | DiscountedGRPO
    | RLOO
    | OPO
    | ReinforcePPBaseline
    | MCGRPO
    | NGRPO
    | GDPO
    | BNPO
    | RiskPO
    | COPO
    | ReinforceAda
    | AsymRE
    | OPMD,
    Field(discriminator="name"),
]
"""Any of them, by its `name`."""
