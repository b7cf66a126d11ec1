"""One sandbox on this side of its channel, with a control group that has moods."""

import asyncio
import contextlib
import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from worker_channel import Answering

from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo, Status
from agentgym.sandboxes.box import WorkerSandbox
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.leased import LeasedSandbox
from agentgym.sandboxes.limiter import ROOM
from agentgym.sandboxes.machine import Machine
from agentgym.sandboxes.session import WorkerSession


class Moody:
    """A control group that refuses its first limits."""

    is_ours = True
    version = 1

    def __init__(self, refusals: int, number: int) -> None:
        self.left = refusals
        self.number = number

        self.limits: list[tuple[int, int]] = []
        self.counter_files = ["/dev/null"]

    def limit(self, *, memory_bytes: int, pids: int, cpus: float) -> None:
        if self.left:
            self.left -= 1
            raise OSError(self.number, "no")
        self.limits.append((memory_bytes, pids))


def sandbox_in(
    group: Any,
    *,
    info: SandboxInfo | None = None,
    channel: Answering | None = None,
    slots: asyncio.Semaphore | None = None,
) -> WorkerSandbox:
    machine = Machine(
        name="box",
        info=info or SandboxInfo(backend="fake"),
        channel=channel or Answering(),
        group=group,
        gone=asyncio.get_running_loop().create_future(),
        kill=lambda: None,
    )
    slots = slots or asyncio.Semaphore(1)
    return WorkerSandbox(machine, limits=Limits(), cpus=1, exec_slots=slots)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("wall_s", "cpu_s") for value in (math.inf, math.nan, 1e12, 0)),
        *(("memory_bytes", 1 << 64), ("pids", 1 << 40), ("open_files", 1 << 30)),
        *(("file_bytes", 1 << 64), ("keep_output_bytes", 1 << 32), ("max_output_bytes", 1 << 64)),
    ],
)
def test_limits_that_nobody_can_keep_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=rf"{name}\n.*should be (less|greater) than"):
        Limits(**{name: value})


async def test_a_group_that_still_holds_the_memory_of_the_dead_is_asked_again() -> None:
    group = Moody(3, errno.EBUSY)
    sandbox = sandbox_in(group)
    assert (await LeasedSandbox(sandbox).python("pass")).exit_code == 0
    assert group.left == 0
    assert not sandbox.lost


async def test_a_group_that_cannot_be_limited_ends_the_sandbox() -> None:
    sandbox = sandbox_in(Moody(1, errno.ENOENT))
    with pytest.raises(SandboxDied, match="cannot be limited"):
        await LeasedSandbox(sandbox).python("pass")
    assert sandbox.lost


async def test_one_that_cannot_be_limited_does_not_become_ready() -> None:
    sandbox = sandbox_in(Moody(1, errno.ENOENT))
    with pytest.raises(SandboxUnavailable, match="cannot be limited"):
        await sandbox.become_ready()
    assert sandbox.lost


async def test_a_program_is_not_run_where_more_memory_is_held_than_it_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.limiter._BUSY_S", 0.05)
    sandbox = sandbox_in(Moody(10_000, errno.EBUSY))
    result = await LeasedSandbox(sandbox).python("pass")
    assert (result.status, result.sandbox_lost) == (Status.OOM, False)
    assert sandbox.num_calls == 0
    assert not sandbox.lost


async def test_what_a_lower_limit_kills_was_killed_for_want_of_memory(tmp_path: Path) -> None:
    """Version 2 does that where version 1 refuses."""
    counter = tmp_path / "memory.oom_control"

    class Killing(Moody):
        def limit(self, *, memory_bytes: int, pids: int, cpus: float) -> None:
            counter.write_text("oom_kill 1\n")

    counter.write_text("oom_kill 0\n")
    group, channel = Killing(0, 0), Answering()
    group.counter_files = [str(counter)]
    channel.deaf = True
    result = await LeasedSandbox(sandbox_in(group, channel=channel)).python("pass")
    assert (result.status, result.oom_kills, result.sandbox_lost) == (Status.OOM, 1, True)


async def test_limits_are_set_when_they_change_in_what_a_group_holds() -> None:
    group = Moody(0, 0)
    sandbox = LeasedSandbox(sandbox_in(group))
    for wall_s in (1, 2, 3):
        await sandbox.python("pass", limits=Limits(wall_s=wall_s))
    assert group.limits == [(512 << 20, 67)]
    await sandbox.python("pass", limits=Limits(pids=99))
    assert group.limits[1:] == [(512 << 20, 102)]


async def test_what_is_no_program_has_more_room_than_any_program_had() -> None:
    group = Moody(0, 0)
    sandbox = LeasedSandbox(sandbox_in(group))
    await sandbox.python("pass", limits=Limits(memory_bytes=1 << 30, pids=99))
    await sandbox.python("pass", limits=Limits(memory_bytes=32 << 20))
    for call in (sandbox.write_file("a", b"b"), sandbox.snapshot(), sandbox.read_file("a")):
        await call
    assert group.limits[:2] == [(1 << 30, 102), (32 << 20, 67)]
    assert group.limits[2:] == [((1 << 30) + ROOM + 2, 102)]


async def test_a_reset_leaves_the_default_limits() -> None:
    group = Moody(0, 0)
    sandbox = LeasedSandbox(sandbox_in(group))
    await sandbox.python("pass", limits=Limits(memory_bytes=1 << 30, pids=99))
    assert await sandbox.reset()
    assert group.limits[-1] == (512 << 20, 67)
    await sandbox.write_file("a", b"")
    assert group.limits[-1] == ((512 << 20) + ROOM, 67)


async def test_one_that_cannot_be_limited_again_is_not_clean() -> None:
    group = Moody(0, errno.ENOENT)
    sandbox = sandbox_in(group)
    await LeasedSandbox(sandbox).python("pass")
    group.left = 1
    assert not await sandbox.reset()
    assert sandbox.lost


async def test_no_descriptor_is_held_between_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = LeasedSandbox(sandbox_in(Moody(0, 0)))
    before = os.listdir("/proc/self/fd")
    await sandbox.python("pass")
    assert os.listdir("/proc/self/fd") == before
    gone = Moody(0, 0)
    gone.counter_files.append("/nowhere")
    with pytest.raises(SandboxDied, match="nowhere"):
        await LeasedSandbox(sandbox_in(gone)).python("pass")
    assert os.listdir("/proc/self/fd") == before


async def test_nobody_uses_what_another_holds() -> None:
    box = sandbox_in(None)
    first = LeasedSandbox(box)
    session = WorkerSession(first, 1, Limits())
    second = LeasedSandbox(box)
    for call in (
        first.python("pass"),
        first.exec(["true"]),
        first.read_file("a"),
        first.restore(b""),
        first.session(),
        session.python("pass"),
        session.fork(),
    ):
        with pytest.raises(SandboxDied, match="its lease has ended") as raised:
            await call
        assert "async with" in str(raised.value.hint)
    await session.close()
    await first.close()
    assert not await first.reset()
    assert box.num_calls == 0
    assert (await second.python("pass")).exit_code == 0


async def test_what_waits_when_the_lease_ends_is_refused() -> None:
    slots = asyncio.Semaphore(1)
    box = sandbox_in(None, slots=slots)
    first = LeasedSandbox(box)
    async with slots:
        waiting = asyncio.create_task(first.python("pass"))
        await asyncio.sleep(0.01)
        second = LeasedSandbox(box)
    with pytest.raises(SandboxDied, match="its lease has ended"):
        await waiting
    assert (await second.python("pass")).exit_code == 0


async def test_a_session_that_broke_a_limit_only_we_know_of_is_ended() -> None:
    channel = Answering()
    channel.cpu_s = 0.6
    session = WorkerSession(LeasedSandbox(sandbox_in(None, channel=channel)), 7, Limits())
    result = await session.python("pass", limits=Limits(cpu_s=0.5))
    assert (result.status, result.session_ended) == (Status.CPU_LIMIT, True)
    assert not result.sandbox_lost
    assert session.ended
    assert channel.asked[-1] == (wire.END, 7)


@pytest.mark.parametrize("size", [0, 16])
async def test_words_of_the_worker_are_no_output_of_a_program(size: int) -> None:
    channel = Answering()
    channel.words = b"1000001 1000002 1000003"
    session = WorkerSession(
        LeasedSandbox(sandbox_in(None, channel=channel)), 7, Limits(keep_output_bytes=size)
    )
    assert len(await session.fork(3)) == 3


async def test_what_is_too_large_to_be_sent_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgym.sandboxes.line._MOST_SENT", 100)
    sandbox = LeasedSandbox(sandbox_in(None))
    with pytest.raises(ValueError, match="101 bytes are too many"):
        await sandbox.python("x", stdin=bytes(100))
    with pytest.raises(ValueError, match="expected 0 or more"):
        await sandbox.read_file("x", max_bytes=-1)
    assert (await sandbox.python("x")).exit_code == 0


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
