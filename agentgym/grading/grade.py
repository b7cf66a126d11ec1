"""One entry: the files that an agent left, the checks of a task, and a grade."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agentgym.grading.place import Artefacts
from agentgym.grading.verdict import Grade, Result, unique
from agentgym.sandbox import Limits, Sandboxes


class Check(Protocol):
    """One kind of check."""

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for everything that must pass.

        Raises:
            SandboxError: the machinery failed; that is no verdict.
            TaskError: the check itself is wrong, whatever the work is.
        """
        ...


async def grade(
    sandboxes: Sandboxes,
    artefacts: Mapping[str, bytes] | Artefacts,
    checks: Sequence[Check],
    *,
    limits: Limits | None = None,
) -> Grade:
    """Check what an agent left; nothing passes without evidence.

    The files go into new sandboxes; what is expected stays out of them.

    Args:
        sandboxes: Where they come from. Hold none while grading: a check may need two at once.
        artefacts: Files by their paths under /box, named by the task, never by the agent.
        checks: At least one.
        limits: Of each process of the program.

    Raises:
        SandboxError: the machinery failed; that is no verdict.
        TaskError: a check is wrong, whatever the work is.
        ValueError: there are no checks, two have the same ids, or a path is not allowed.
    """
    if not checks:
        raise ValueError("no checks: nothing would be checked")
    results: list[Result] = []
    for check in checks:
        results += await check.run(sandboxes, artefacts, limits or Limits())
    return Grade(unique(results))
