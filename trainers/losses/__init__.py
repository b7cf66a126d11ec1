"""Policy losses: one method a file, one name here."""

from agentgym.trainers.losses.base import Loss, LossOutput
from agentgym.trainers.losses.ppo import PPO

AnyLoss = PPO
"""What `[loss]` may hold: a union told apart by `name` as soon as there are two."""

__all__ = ["PPO", "AnyLoss", "Loss", "LossOutput"]
