"""No wrong solution is paid by any kind of check; the right one is by every kind."""

import pytest
from wrong_solutions import FIFTEEN, MAIN, MORE, RIGHT, WRONG

from agentgym.grading import Calls, Case, Equals, Files, Programs, Run, Suite, collect, grade
from agentgym.sandbox import Limits, Sandboxes

pytestmark = pytest.mark.sandbox

LIMITS = Limits(wall_s=1, cpu_s=1, memory_bytes=128 << 20, pids=16, max_output_bytes=1 << 20)
NUMBERS = (21, -3)
TESTS = """
import pytest
from solution import double

HIDDEN = "HIDDEN-VALUE" * 100

@pytest.mark.parametrize(("x", "expected"), [(21, 42), (-3, -6)])
def test_double(x, expected):
    assert double(x) == expected
"""


async def by_calls(sandboxes, source):
    cases = [Case(args=[x], returns=2 * x) for x in NUMBERS]
    return await grade(
        sandboxes,
        {"solution.py": source.encode()},
        [Calls(function="double", cases=cases)],
        limits=LIMITS,
    )


async def by_programs(sandboxes, source):
    cases = [Run(stdin=f"{x}\n", stdout=f"{2 * x}\n") for x in NUMBERS]
    artefacts = {"solution.py": (source + MAIN).encode()}
    return await grade(sandboxes, artefacts, [Programs(cases=cases)], limits=LIMITS)


async def by_files(sandboxes, source):
    async with sandboxes.lease() as sandbox:
        await sandbox.write_file("solution.py", (source + MAIN).encode())
        await sandbox.exec(["python3", "solution.py"], stdin=b"21\n", limits=LIMITS)
        left = await collect(sandbox, "result.txt")
    return await grade(sandboxes, left, [Files(expected={"result.txt": Equals(b"42")})])


async def by_suite(sandboxes, source):
    return await grade(
        sandboxes, {"solution.py": source.encode()}, [Suite(source=TESTS)], limits=LIMITS
    )


KINDS = {"calls": by_calls, "programs": by_programs, "files": by_files, "suite": by_suite}
IN_PROCESS = ("calls", "suite")
"""Where the solution shares a process with something of ours."""


def test_the_table_has_fifteen_rows():
    assert len(FIFTEEN) == 15


ROWS = [(name, kind) for name in FIFTEEN for kind in KINDS]
ROWS += [(name, kind) for name in MORE for kind in IN_PROCESS]


@pytest.mark.parametrize(("name", "kind"), ROWS)
async def test_a_wrong_solution_gets_nothing(sandboxes: Sandboxes, name: str, kind: str) -> None:
    verdict = await KINDS[kind](sandboxes, WRONG[name])
    assert not verdict.passed, verdict.results
    assert verdict.fraction == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_right_solution_gets_everything(sandboxes: Sandboxes, kind: str) -> None:
    verdict = await KINDS[kind](sandboxes, RIGHT)
    assert verdict.passed, verdict.results
    assert verdict.fraction == 1
