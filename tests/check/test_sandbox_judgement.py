"""Rows whose sandbox answers as one that does not hold: each must see it."""

import contextlib
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from agentgym.check.report import Failed
from agentgym.check.sandbox.table import matching
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, SandboxInfo, Status

ALIVE = b"still here 2 1 2"
FOUND = b"BREACH /tmp/mine\nBREACH /proc/3/cmdline\nBREACH memory\nscanned"


class Answering:
    """A target, and the one sandbox it has: programs are not run, their answers are given."""

    backend = "answering"
    info = SandboxInfo(backend=backend, enforced={"memory": "cgroup1"})

    def __init__(self, *answers: bytes) -> None:
        self._answers = iter(answers)

    @contextlib.asynccontextmanager
    async def sandbox(self, **_: object) -> AsyncIterator["Answering"]:
        yield self

    async def python(self, *_: object, **__: object) -> ExecResult:
        return ExecResult(status=Status.EXITED, exit_code=0, stdout=next(self._answers))

    exec = python

    async def reset(self) -> bool:
        return True


class Leaking(Answering):
    """What it sends to a loopback arrives at that of this machine."""

    async def python(self, code: Any, *_: object, **__: object) -> ExecResult:
        for port in re.findall(r"'127\.0\.0\.1', (\d+)", code):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", int(port)))
        return await super().python()


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("pipe_pinning", Answering(b"99999999", ALIVE), "95 MiB are held"),
        ("socket_pinning", Answering(b"99999999", ALIVE + b" 3"), "outlived"),
        ("fds_in_flight", Answering(b"10 []", b"sent", b"9 []"), "blocks in use"),
        ("hidden_tests_reach", Answering(b"BREACH memory\nscanned", FOUND), "BREACH memory"),
        ("hidden_tests_reach", Answering(b"searched 9\nscanned", b"scanned"), "blind"),
        ("walk_worker_frames", Answering(b"", b"", b"BREACH x\nwalked", FOUND), "BREACH x"),
        ("walk_worker_frames", Answering(b"", b"", b"walked 9", b"walked 9"), "blind"),
        ("udp_dns", Leaking(b"sent"), "a packet came to the host"),
        ("daemon_holds_stdout", Answering(b"do"), "expected 'done'"),
    ],
)
async def test_a_sandbox_that_does_not_hold_is_seen(
    name: str, target: Answering, reason: str
) -> None:
    (row,) = matching([name])
    with pytest.raises(Failed, match=reason):
        await row.run(cast(Target, target))
