"""What needs no sandbox: the table, its judges, and words on the command line."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox import (
    Finding,
    SandboxReport,
    Status,
    grader,
    host,
    judges,
    lifecycle,
    network,
)
from agentgym.check.sandbox.grader import KINDS
from agentgym.check.sandbox.own_engine import OwnEngine
from agentgym.check.sandbox.solutions import FIFTEEN
from agentgym.check.sandbox.table import ROWS, matching, short
from agentgym.errors import ConfigError
from agentgym.sandbox import ExecResult, Status as Became


def test_a_lost_sandbox_came_through_nothing() -> None:
    lost = ExecResult(status=Became.TIMEOUT, sandbox_lost=True)
    with pytest.raises(Failed, match="lost=True"):
        judges.ends(Became.TIMEOUT)(lost)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"still here 7 1 7 9 8\n", r"2 processes outlived the reply: \['8', '9'\]"),
        (b"still here", "afterwards"),
        (b"7 1 7\n", "afterwards"),
    ],
)
def test_whoever_is_left_is_seen(said: bytes, reason: str) -> None:
    judges.alone(ExecResult(status=Became.EXITED, exit_code=0, stdout=b"still here 7 1 7\n"))
    with pytest.raises(Failed, match=reason):
        judges.alone(ExecResult(status=Became.EXITED, exit_code=0, stdout=said))


def test_a_reply_that_waited_is_late() -> None:
    judge = judges.soon(judges.says("done"))
    said = ExecResult(status=Became.EXITED, exit_code=0, stdout=b"done\n")
    assert judge(said) == "done"
    for late in (replace(said, wall_s=1.5), replace(said, status=Became.TIMEOUT)):
        with pytest.raises(Failed, match="done"):
            judge(late)


async def test_an_answer_is_no_death_and_no_refusal() -> None:
    async def answer() -> str:
        return "an answer"

    with pytest.raises(Failed, match="'an answer'"):
        await judges.expect_died(answer())
    with pytest.raises(Failed, match="the call was not refused"):
        await judges.expect_refused(answer(), "the call")


def test_nobody_of_this_machine_is_told_to_end() -> None:
    with pytest.raises(ValueError, match="of this machine"):
        host.tell(host.own_namespace(), signal.SIGKILL)


def test_processes_are_known_by_mark_and_by_name() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60; :", "agentgym-mark"]) as process:
        fd = host.open_namespace("agentgym-mark")
        assert fd is not None
        assert os.readlink(f"/proc/self/fd/{fd}") == host.own_namespace()
        os.close(fd)
        names = host.named([process.pid])
        assert process.pid in host.descendants(os.getpid())
        assert host.users_of(process.pid) == {str(os.getuid())}
        assert set(host.living(names)) == names
        process.kill()
        process.wait()
        assert not host.living(names)


async def test_a_thread_that_started_something_has_ended() -> None:
    async def start() -> asyncio.subprocess.Process:
        argv = ["setpriv", "--pdeathsig", "KILL", "sleep", "60"]
        process = await asyncio.create_subprocess_exec(*argv)
        await asyncio.sleep(0.3)
        return process

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        process = await lifecycle.in_thread(loop, start())
        assert await lifecycle.in_thread(loop, process.wait()) == -signal.SIGKILL


def test_network_rows_name_nobody_else() -> None:
    source = Path(network.__file__).read_text()
    addresses = set(re.findall(r"\d+\.\d+\.\d+\.\d+", source))
    assert addresses == {"127.0.0.1", "127.1.2.3", "0.0.0.0", "192.0.2.1"}
    assert set(re.findall(r'"([\da-f]*::[\da-f:]*)"', source)) == {"::", "::1"}
    assert not re.findall(r"gethostby|getaddrinfo|\.com", source)


def test_an_engine_of_our_own_has_no_settings_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def popen(argv: list[str], **_: object) -> Mock:
        started.append(argv)
        return Mock()

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(NotChecked):
        OwnEngine(tmp_path).start()
    settings = Path(started[0][started[0].index("--config-file") + 1])
    assert (settings.parent, settings.read_text()) == (tmp_path, "{}")


def test_names_are_unique_and_say_what_must_happen() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.name.isidentifier() and row.must for row in ROWS)


def test_fifteen_wrong_solutions_are_graded_by_every_kind() -> None:
    assert len(FIFTEEN) == 15
    assert len(KINDS) == 4
    names = {f"grader_{title.replace('.', '_').replace(' ', '_')}" for title in FIFTEEN}
    assert names < {row.name for row in grader.ROWS}


def test_rows_are_chosen_by_pattern() -> None:
    assert {row.name for row in matching(["fork_bomb*"])} >= {"fork_bomb", "fork_bomb_sigign"}
    assert len(matching(["*"])) == len(ROWS) > len(short())
    with pytest.raises(ConfigError, match="frk_bomb") as caught:
        matching(["frk_bomb"])
    assert caught.value.hint == "did you mean 'fork_bomb'?"


def test_a_report_counts_and_becomes_rows_of_json() -> None:
    held = Finding("a", "local", Status.CONTAINED, "seen")
    report = SandboxReport((held, Finding("b", "local", Status.NOT_APPLICABLE, "none here")))
    assert (report.ok, report.is_complete) == (True, False)
    assert not SandboxReport((held, Finding("c", "local", Status.FAILED, "out"))).ok
    assert report.to_json()[1] == {
        "name": "b",
        "backend": "local",
        "status": "not applicable",
        "reason": "none here",
    }
