"""One row: an attack or a rule, and how it is tried."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from agentgym.check.sandbox.judges import refused
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Limits

Cost = Literal["quick", "slow", "soak"]

_WALL_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Something that is tried on a backend."""

    name: str
    must: str
    """What must happen."""
    run: Callable[[Target], Awaitable[str]]
    """Try it, and return what was seen.

    Raises Failed where that is not what must happen, NotChecked where it cannot be tried.
    """
    cost: Cost = "quick"
    """Below two seconds, some seconds, or minutes."""


def attack(
    name: str,
    must: str,
    code: str,
    judge: Callable[[ExecResult], str] = refused,
    *,
    survives: bool = True,
    stdin: bytes = b"",
    cost: Cost = "quick",
    **limits: Any,
) -> Row:
    """Return the row of one hostile program; the sandbox must answer as before when it is over.

    Args:
        name: Of the row.
        must: What must happen.
        code: The program; it may use what `program.PRELUDE` defines.
        judge: Looks at the result, returns what it saw, or raises Failed.
        survives: Whether the sandbox must outlive it, and be clean after a reset.
        stdin: What the program may read.
        cost: How long it takes.
        limits: Fields of `Limits` that differ from the default.
    """
    bounds = Limits.model_validate({"wall_s": _WALL_S} | limits)

    async def run(target: Target) -> str:
        async with target.sandbox(survives=survives) as sandbox:
            result = await sandbox.python(program(code), stdin=stdin, limits=bounds)
            return judge(result)

    return Row(name=name, must=must, run=run, cost=cost)
