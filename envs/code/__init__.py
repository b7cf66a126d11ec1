"""agentgym/Code-v0: write a function from a specification; its code runs in a sandbox."""

from agentgym.envs.code.env import CodeConfig, CodeEnv

__all__ = ["CodeConfig", "CodeEnv"]
