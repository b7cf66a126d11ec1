"""Policy losses: one method a file, one name here."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.losses.base import Loss, LossOutput, Normalizer
from agentgym.trainers.losses.cispo import CISPO
from agentgym.trainers.losses.dcpo import DCPO
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.opmd import OPMD
from agentgym.trainers.losses.ppo import PPO
from agentgym.trainers.losses.rec import REC
from agentgym.trainers.losses.topr import TOPR

AnyLoss = Annotated[PPO | GSPO | CISPO | TOPR | OPMD | DCPO | REC, Field(discriminator="name")]
"""Any loss, by its `name`."""

__all__ = ["PPO", "AnyLoss", "Loss", "LossOutput", "Normalizer"]
