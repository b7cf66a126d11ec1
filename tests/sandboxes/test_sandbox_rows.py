"""Every row of the shipped check, on every backend there is; and what it calls a failure."""

from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from agentgym.check.sandbox import Status, grader, judges
from agentgym.check.sandbox.backends import names
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.suite import try_row
from agentgym.check.sandbox.table import ROWS
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Status as Became

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

# Graders know the contract alone: one backend shows what most of their rows have to show.
GRADED = [row for row in grader.ROWS if row.name not in ("grader_right", "grader_hangs")]
MARKS = {"quick": (), "slow": (pytest.mark.slow,), "soak": (pytest.mark.soak,)}


def each(rows: Iterable[Row]) -> pytest.MarkDecorator:
    params = [pytest.param(row, id=row.name, marks=MARKS[row.cost]) for row in rows]
    return pytest.mark.parametrize("row", params)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=names())
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    async with Target.open(request.getfixturevalue(f"{request.param}_settings")) as target:
        yield target


@each(row for row in ROWS if row not in GRADED)
async def test_it_is_contained(target: Target, row: Row) -> None:
    await expect_contained(target, row)


@pytest.mark.parametrize(
    "target", ["local", pytest.param("docker", marks=pytest.mark.soak)], indirect=True
)
@each(GRADED)
async def test_wrong_solutions_get_nothing(target: Target, row: Row) -> None:
    await expect_contained(target, row)


async def expect_contained(target: Target, row: Row) -> None:
    finding = await try_row(row, target)
    if finding.status is Status.NOT_APPLICABLE:
        pytest.skip(finding.reason)
    assert finding.status is Status.CONTAINED, f"{row.must}: {finding.reason}"
    assert finding.reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (attack("", "", "attempt('x', os.getpid)"), "BREACH x"),
        (attack("", "", "call('getpid')"), "BREACH getpid"),
        (attack("", "", "attempt('x', os.open, '/nowhere', 0); 1 / 0"), "ZeroDivisionError"),
        (attack("", "", "pass"), "did not get to its end"),
        (attack("", "", "print('b')", judges.says("a")), "expected 'a'"),
        (attack("", "", "pass", judges.ends(Became.TIMEOUT)), "expected timeout"),
        (attack("", "", "exit(3)", judges.exits(4)), "expected exit code 4"),
        (attack("", "", "1 / 0", judges.exits(0)), "ZeroDivisionError"),
    ],
)
async def test_a_breach_is_a_failure(target: Target, row: Row, reason: str) -> None:
    finding = await try_row(row, target)
    assert finding.status is Status.FAILED
    assert reason in finding.reason


async def test_a_dead_sandbox_is_a_failure(target: Target) -> None:
    async def run(target: Target) -> str:
        async with target.sandbox() as sandbox:
            await sandbox.close()
            return "nothing seen"

    finding = await try_row(Row(name="", must="", run=run), target)
    assert (finding.status, "SandboxDied" in finding.reason) == (Status.FAILED, True)


async def test_a_change_of_the_host_is_a_failure(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(target: Target) -> str:
        async with target.sandbox():
            monkeypatch.setattr("socket.gethostname", lambda: "pwned")
            return "nothing seen"

    finding = await try_row(Row(name="", must="", run=run), target)
    assert (finding.status, finding.reason) == (Status.FAILED, "the host is called 'pwned' now")
