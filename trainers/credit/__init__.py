"""Credit: rewards of steps become advantages of steps. One estimator a file."""

from typing import Annotated, get_args

from pydantic import Field

from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.credit.steps import AnyStepCredit
from agentgym.trainers.credit.tokens import AnyTokenCredit
from agentgym.trainers.credit.trajectories import AnyTrajectoryCredit
from agentgym.trainers.credit.weightings import AnyWeighting

__all__ = ["CREDITS", "AnyCredit", "CreditConfig"]

AnyCredit = Annotated[
    AnyTrajectoryCredit | AnyStepCredit | AnyTokenCredit | AnyWeighting,
    Field(discriminator="name"),
]
"""Any estimator, by its `name`."""

CREDITS: dict[str, type[CreditConfig]] = {
    kind.model_fields["name"].default: kind
    for table in (AnyTrajectoryCredit, AnyStepCredit, AnyTokenCredit, AnyWeighting)
    for kind in get_args(get_args(table)[0])
}
"""Each member of the tables by its name."""
