"""Credit: rewards of steps become advantages of steps. One estimator a file."""

from typing import Annotated, get_args

from pydantic import Field

from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.credit.discounted_grpo import DiscountedGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT

__all__ = ["CREDITS", "AnyCredit", "CreditConfig"]

AnyCredit = Annotated[GRPO | DiscountedGRPO | RLOO | GiGPO | SALT, Field(discriminator="name")]
"""Any estimator, by its `name`."""

CREDITS: dict[str, type[CreditConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyCredit)[0])
}
"""Each member of the union by its name."""
