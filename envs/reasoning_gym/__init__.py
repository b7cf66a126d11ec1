"""`agentgym/ReasoningGym-v0`: any dataset of reasoning-gym, scored by its own function."""

from agentgym.envs.reasoning_gym.env import ReasoningGymConfig, ReasoningGymEnv

__all__ = ["ReasoningGymConfig", "ReasoningGymEnv"]
