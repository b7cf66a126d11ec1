"""`agentgym/Gymnasium-v0`: any environment of Gymnasium with text or discrete spaces."""

from agentgym.envs.gymnasium.env import GymnasiumConfig, GymnasiumEnv

__all__ = ["GymnasiumConfig", "GymnasiumEnv"]
