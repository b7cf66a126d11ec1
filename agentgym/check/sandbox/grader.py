"""Wrong solutions that try to be paid, graded in every way there is."""

import asyncio
from collections.abc import Sequence

from agentgym.check.sandbox.judges import expect
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.solutions import FIFTEEN, MAIN, MORE, RIGHT
from agentgym.check.sandbox.target import Target
from agentgym.grading import (
    Calls,
    Case,
    Equals,
    Files,
    Grade,
    Programs,
    Run,
    Suite,
    collect,
    grade,
)
from agentgym.sandbox import Limits, Sandboxes

LIMITS = Limits(wall_s=1, cpu_s=1, memory_bytes=128 << 20, pids=16, max_output_bytes=1 << 20)
_NUMBERS = (21, -3)
_TESTS = """
import pytest
from solution import double

HIDDEN = "HIDDEN-VALUE" * 100

@pytest.mark.parametrize(("x", "expected"), [(21, 42), (-3, -6)])
def test_double(x, expected):
    assert double(x) == expected
"""


async def by_calls(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a function by what it returns."""
    cases = [Case(args=[x], returns=2 * x) for x in _NUMBERS]
    artefacts = {"solution.py": source.encode()}
    checks = [Calls(function="double", cases=cases)]
    return await grade(sandboxes, artefacts, checks, limits=LIMITS)


async def by_programs(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a program by what it prints."""
    cases = [Run(stdin=f"{x}\n", stdout=f"{2 * x}\n") for x in _NUMBERS]
    artefacts = {"solution.py": (source + MAIN).encode()}
    return await grade(sandboxes, artefacts, [Programs(cases=cases)], limits=LIMITS)


async def by_files(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a program by the file that it leaves."""
    async with sandboxes.lease() as sandbox:
        await sandbox.write_file("solution.py", (source + MAIN).encode())
        await sandbox.exec(["python3", "solution.py"], stdin=b"21\n", limits=LIMITS)
        left = await collect(sandbox, "result.txt")
    return await grade(sandboxes, left, [Files(expected={"result.txt": Equals(b"42")})])


async def by_suite(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a module by tests that it never meets."""
    artefacts = {"solution.py": source.encode()}
    return await grade(sandboxes, artefacts, [Suite(source=_TESTS)], limits=LIMITS)


KINDS = {"calls": by_calls, "programs": by_programs, "files": by_files, "suite": by_suite}
"""Every kind of check."""


IN_PROCESS = ("calls", "suite")
"""Where the solution shares a process with something of ours."""


async def _graded(target: Target, source: str, kinds: Sequence[str]) -> dict[str, Grade]:
    grading = [KINDS[kind](target.sandboxes, source) for kind in kinds]
    return dict(zip(kinds, await asyncio.gather(*grading), strict=True))


def _wrong(title: str, source: str, kinds: Sequence[str]) -> Row:
    async def run(target: Target) -> str:
        for kind, graded in (await _graded(target, source, kinds)).items():
            is_paid = graded.passed or graded.fraction > 0
            expect(not is_paid, f"by {kind} it was paid: {graded.results}")
        return f"0 by {', '.join(kinds)}"

    name = "grader_" + title.replace(".", "_").replace(" ", "_")
    return Row(name=name, must="reward 0 by every grader", run=run, cost="slow")


async def _right(target: Target) -> str:
    for kind, graded in (await _graded(target, RIGHT, list(KINDS))).items():
        expect(graded.passed, f"by {kind} it was not paid: {graded.results}")
    return f"1 by {', '.join(KINDS)}"


ROWS = (
    *(_wrong(title, source, list(KINDS)) for title, source in FIFTEEN.items()),
    *(_wrong(title, source, IN_PROCESS) for title, source in MORE.items()),
    Row(name="grader_right", must="the right solution gets 1", run=_right, cost="slow"),
)
