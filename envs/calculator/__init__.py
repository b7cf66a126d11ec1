"""`agentgym/Calculator-v0`: one tool; the environment to copy."""

from agentgym.envs.calculator.env import Calculator, CalculatorConfig

__all__ = ["Calculator", "CalculatorConfig"]
