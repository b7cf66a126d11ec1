"""One sandbox on this side of its channel, with a control group that has moods."""

import asyncio
import contextlib
import errno
from typing import Any

import pytest
from worker_channel import Answering

from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes.box import Machine, WorkerSandbox
from agentgym.sandboxes.inside import wire


class Moody:
    """A control group that refuses its first limits."""

    is_ours = True
    version = 1

    def __init__(self, refusals: int, number: int) -> None:
        self.left = refusals
        self.number = number

    def limit(self, **_: Any) -> None:
        if self.left:
            self.left -= 1
            raise OSError(self.number, "no")

    @property
    def counter_files(self) -> tuple[str, None]:
        return "/dev/null", None


def sandbox_in(
    group: Any, *, info: SandboxInfo | None = None, channel: Answering | None = None
) -> WorkerSandbox:
    machine = Machine(
        name="box",
        info=info or SandboxInfo(backend="fake"),
        channel=channel or Answering(),
        group=group,
        gone=asyncio.get_running_loop().create_future(),
        kill=lambda: None,
    )
    return WorkerSandbox(machine, limits=Limits(), cpus=1, exec_slots=asyncio.Semaphore(1))


async def test_a_group_that_still_holds_the_memory_of_the_dead_is_asked_again() -> None:
    group = Moody(3, errno.EBUSY)
    sandbox = sandbox_in(group)
    assert (await sandbox.python("pass")).exit_code == 0
    assert group.left == 0
    assert not sandbox.lost


@pytest.mark.parametrize(("refusals", "number"), [(1, errno.ENOENT), (10_000, errno.EBUSY)])
async def test_a_group_that_cannot_be_limited_ends_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, refusals: int, number: int
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.box._BUSY_S", 0.05)
    sandbox = sandbox_in(Moody(refusals, number))
    with pytest.raises(SandboxDied, match="cannot be limited"):
        await sandbox.python("pass")
    assert sandbox.lost


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"dumpable 2", None),
        (b"dumpable 0", "filters no system calls"),
        (b"dumpable", "filters no system calls"),
        (b"none 2", "cannot protect its worker"),
    ],
)
async def test_a_worker_says_what_protects_it(said: bytes, reason: str | None) -> None:
    channel = Answering()
    size = len(said)
    greeting = wire.REPLY.pack(0, wire.EXITED, 0, size, 0, 0.0, 0.0, size, 0) + said
    channel.replies.put_nowait(greeting)
    info = SandboxInfo(backend="fake", enforced={"seccomp": "filter"}, protected="dumpable")
    sandbox = sandbox_in(None, info=info, channel=channel)
    with pytest.raises(SandboxUnavailable, match=reason) if reason else contextlib.nullcontext():
        await sandbox.become_ready()
