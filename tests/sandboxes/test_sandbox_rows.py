"""Every row of the shipped check, on every backend there is; and what it calls a failure."""

import asyncio
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio

from agentgym.check.report import Failed
from agentgym.check.sandbox import Status, cancelling, judges
from agentgym.check.sandbox.backends import names
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.suite import try_row
from agentgym.check.sandbox.table import ROWS
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Status as Became

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
MARKS = {"quick": (), "slow": (pytest.mark.slow,), "soak": (pytest.mark.soak,)}

# The engine is started anew in each of them; one of the three is tried in every `make test`.
SIMILAR = {"engine_sigterm", "engine_live_restore"}

_HANGS = "print('done', flush=True); time.sleep(60)"
_AS_USER = """
import asyncio, json, subprocess
from agentgym.check.sandbox import check_sandbox
from agentgym.check.sandbox.table import matching
from agentgym.sandboxes.local import LocalSandboxConfig
rows = matching(["fork_bomb_as_root", "killed_mid_exec", "stopped_mid_exec", "host_sigkill_busy"])
with subprocess.Popen(["sleep", "60"]) as bystander:
    report = asyncio.run(check_sandbox(LocalSandboxConfig(), rows=rows))
    print(json.dumps([bystander.poll(), report.to_json()]))
    bystander.kill()
"""


def each(rows: Iterable[Row]) -> pytest.MarkDecorator:
    params = [
        pytest.param(row, id=row.name, marks=MARKS["soak" if row.name in SIMILAR else row.cost])
        for row in rows
    ]
    return pytest.mark.parametrize("row", params)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=names())
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    async with Target.open(request.getfixturevalue(f"{request.param}_settings")) as target:
        yield target


@each(ROWS)
async def test_it_is_contained(target: Target, row: Row) -> None:
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
        (attack("", "", _HANGS, judges.says("done"), wall_s=0.3), "timeout"),
        (attack("", "", "time.sleep(1.1); print('a')", judges.soon(judges.says("a"))), "it took"),
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


async def test_what_outlives_the_reply_is_a_failure(target: Target) -> None:
    async def run(target: Target) -> str:
        async with target.sandbox() as sandbox:
            await sandbox.session()  # stands still, as nothing else that is left would
            return "nothing seen"

    finding = await try_row(Row(name="", must="", run=run), target)
    assert finding.status is Status.FAILED
    assert finding.reason.startswith("1 processes outlived the reply")


async def test_a_pool_that_lost_count_is_a_failure(target: Target) -> None:
    async with target.another(spares=0, max_size=7) as sandboxes:
        with pytest.raises(Failed, match="more than 6"):
            await cancelling.expect_room(sandboxes)


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
async def test_the_check_of_an_ordinary_user_kills_nothing_else_of_theirs() -> None:
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not (shutil.which("bwrap") and shutil.which(python)):
        pytest.skip(f"needs bubblewrap and {python}")
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    env = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    # Who kills too much in there cannot reach anybody outside.
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "setpriv"]
    argv += ["--reuid", "12345", "--regid", "12345", "--clear-groups", python, "-c", _AS_USER]
    run = functools.partial(subprocess.run, argv, env=env, cwd="/", capture_output=True, timeout=90)
    done = await asyncio.to_thread(run)
    if b"No module named" in done.stderr or b"ermission denied" in done.stderr:
        pytest.skip(f"an ordinary user cannot read this installation: {done.stderr[-200:]!r}")
    assert done.returncode == 0, done.stderr.decode()
    ended, findings = json.loads(done.stdout)
    assert ended is None
    assert {finding["name"]: finding["status"] for finding in findings} == dict.fromkeys(
        ("fork_bomb_as_root", "killed_mid_exec", "stopped_mid_exec", "host_sigkill_busy"),
        "contained",
    ), findings


async def test_a_change_of_the_host_is_a_failure(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(target: Target) -> str:
        async with target.sandbox():
            monkeypatch.setattr("socket.gethostname", lambda: "pwned")
            return "nothing seen"

    finding = await try_row(Row(name="", must="", run=run), target)
    assert (finding.status, finding.reason) == (Status.FAILED, "the host is called 'pwned' now")
