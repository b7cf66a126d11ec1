"""The environment to copy: a configuration that makes tasks, and one tool."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from agentgym.env import EnvConfig, Script
from agentgym.envs.calculator.arithmetic import evaluate, is_number
from agentgym.envs.calculator.tasks import TIERS, make_tasks, solve
from agentgym.envs.tool_env import ToolEnv
from agentgym.tools import tool
from agentgym.types import Task


class CalculatorConfig(EnvConfig):
    """Which problems."""

    id: ClassVar[str] = "agentgym/Calculator-v0"
    tiers: ClassVar[tuple[str, ...]] = TIERS

    tier: Literal["easy", "medium", "hard"] = "easy"
    """easy and medium are expressions, hard is told in words."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield problems: train without end, test 256 that train never has."""
        return make_tasks(self.tier, split)

    def build(self, sandboxes: object = None) -> "Calculator":
        """Make one calculator."""
        return Calculator()


class Calculator(ToolEnv):
    """The final answer, a number and nothing else, is compared exactly."""

    system: ClassVar[str] = "Use the calculator. Then answer with the number and nothing else."

    @tool(inline=True)
    def calc(self, expression: str) -> str:
        """Evaluate an arithmetic expression.

        Args:
            expression: Numbers, parentheses and + - * / // % **, such as "2 * (3 + 4)".
        """
        return evaluate(expression)

    def score(self, text: str) -> dict[str, float]:
        """Compare the answer."""
        return {"outcome": float(is_number(text, self.task.answer))}

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the script that calculates the expression of the task, then answers."""
        return solve(task) if level == "expert" else super().expert(task, seed=seed, level=level)
