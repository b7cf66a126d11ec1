"""Code: write a function from a specification, try it in a sandbox, hand it in."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import ClassVar

from pydantic import Field

from agentgym.env import EnvConfig, EnvStep, Script
from agentgym.envs.code import experts, grading
from agentgym.envs.code.tasks import Tier, tasks
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import ConfigError
from agentgym.panels import Diff, Panel, Table, Terminal
from agentgym.sandbox import ExecResult, Limits, Sandbox, Sandboxes
from agentgym.tools import Final, ToolError, tool
from agentgym.types import OUTCOME, Message, Task

_TOOL_TIMEOUT_S = 300.0  # above all limits of the sandbox, which alone bound the program
_LIMITS = Limits(wall_s=5, cpu_s=1, memory_bytes=256 << 20, pids=16, max_output_bytes=1 << 20)


class CodeConfig(EnvConfig):
    """Functions over lists of integers, composed of a few operations."""

    id: ClassVar[str] = "agentgym/Code-v0"
    tiers: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")
    needs_sandbox: ClassVar[bool] = True

    max_turns: int = Field(default=4, ge=1)
    tier: Tier = "hard"
    """Most operations of a task: 1, 2 or 3."""
    limits: Limits = _LIMITS
    """Of each process that runs a program."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield tasks; `test` has compositions of operations that `train` never has."""
        return tasks(self.tier, split)

    def build(self, sandboxes: Sandboxes | None = None) -> "CodeEnv":
        """Make one environment."""
        if sandboxes is None:
            raise ConfigError(f"{self.id} needs a sandbox", hint="pass build(sandboxes)")
        return CodeEnv(self, sandboxes)


class CodeEnv(ToolEnv):
    """Runs programs in a leased sandbox; grades the one last tested in a fresh one."""

    def __init__(self, config: CodeConfig, sandboxes: Sandboxes) -> None:
        self._limits = config.limits
        self._sandboxes = sandboxes
        self._lease = AsyncExitStack()
        self._sandbox: Sandbox | None = None

    def start(self, task: Task, *, seed: int) -> None:
        """Begin with nothing tested."""
        self._code: str | None = None
        self._before = ""
        self._printed: str | None = None
        self._feedback = grading.Feedback("", 0.0)
        self._best = 0.0
        self._timed_out = False

    @tool(timeout_s=_TOOL_TIMEOUT_S)
    async def run_code(self, code: str) -> str:
        """Run a Python snippet and show what it prints.

        Args:
            code: A whole program; nothing is kept of earlier ones.
        """
        _check_length(code)
        result = await (await self._leased()).python(code, limits=self._limits)
        await self._ran(result)
        self._printed = grading.terminal_output(result)
        return grading.describe_output(result)

    @tool(timeout_s=_TOOL_TIMEOUT_S)
    async def run_tests(self, code: str) -> str:
        """Test a function f(x) of a list of integers on three examples.

        Args:
            code: A program that defines f.
        """
        _check_length(code)
        self._before, self._code = self._code or "", code
        self._feedback, result = await grading.run_public(
            await self._leased(), code, examples=self.task.payload["public"], limits=self._limits
        )
        await self._ran(result)
        self._printed = self._feedback.printed
        return self._feedback.text

    @tool(timeout_s=_TOOL_TIMEOUT_S)
    async def submit(self) -> Final:
        """Hand in the code last given to run_tests and end."""
        if self._code is None:
            raise ToolError("nothing tested")
        if self._feedback.passed < 1:
            return Final("wrong", {OUTCOME: 0.0})
        await self._release()  # who waits for a second sandbox while holding one may wait forever
        async with self._sandboxes.lease(fresh=True) as sandbox:
            verdict = await grading.grade(
                sandbox, self._code, examples=self.task.payload["hidden"], limits=self._limits
            )
        self._timed_out |= verdict.timed_out
        return Final("right" if verdict.right else "wrong", {OUTCOME: float(verdict.right)})

    async def step(self, message: Message) -> EnvStep:
        """Add the term `public`: by how much the best share of passed examples rose."""
        self._timed_out = False
        step = await super().step(message)
        gain = max(0.0, self._feedback.passed - self._best)
        self._best += gain
        info = {**step.info, "timed_out": True} if self._timed_out else step.info
        return step._replace(reward={**step.reward, "public": gain}, info=info)

    def panels(self) -> tuple[Panel, ...]:
        """Draw the examples with what came of them, the last change and the last output."""
        drawn: list[Panel] = []
        if self._code is not None:
            pairs = zip(self.task.payload["public"], self._feedback.answers, strict=False)
            rows = tuple((str(x), str(want), got, got == f"got {want}") for (x, want), got in pairs)
            columns = ("input", "want", "answer", "passed")
            drawn.append(Table(columns=columns, rows=rows, title="examples"))
            drawn.append(Diff(before=self._before, after=self._code, title="program"))
        if self._printed:
            drawn.append(Terminal(text=self._printed, title="output"))
        return tuple(drawn)

    async def close(self) -> None:
        """Give the sandbox back."""
        await self._release()

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the `expert`, or the imperfect `teacher`."""
        if level == "teacher":
            return experts.teacher(task, seed)
        return experts.expert(task) if level == "expert" else super().expert(task, level=level)

    async def _leased(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = await self._lease.enter_async_context(self._sandboxes.lease())
        return self._sandbox

    async def _release(self) -> None:
        self._sandbox = None
        await self._lease.aclose()

    async def _ran(self, result: ExecResult) -> None:
        self._timed_out |= result.timed_out
        if result.sandbox_lost:
            await self._release()


def _check_length(code: str) -> None:
    if len(code) > grading.MAX_CODE_CHARS:
        raise ToolError("code too long")
