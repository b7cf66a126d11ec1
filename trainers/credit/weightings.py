"""Estimators that scale the advantages of another one."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.duration import DurationAware
from agentgym.trainers.credit.empg import EMPG

AnyWeighting = Annotated[EMPG | DurationAware, Field(discriminator="name")]
"""Any of them, by its `name`."""
