"""`agentgym/BFCL-v0`: the multi-turn tasks of the Berkeley Function Calling Leaderboard."""

from agentgym.envs.bfcl.env import BFCLConfig, BFCLEnv

__all__ = ["BFCLConfig", "BFCLEnv"]
