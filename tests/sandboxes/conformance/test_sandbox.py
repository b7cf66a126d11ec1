"""What the shipped rows leave out: every byte, every path, and what the host sees of a sandbox."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from users import processes_of

from agentgym.sandbox import Limits, Sandbox
from agentgym.sandboxes.paths import checked_path

pytestmark = pytest.mark.sandbox


async def test_bytes_pass_unchanged(sandbox: Sandbox) -> None:
    every = bytes(range(256)) * 4000
    limits = Limits(keep_output_bytes=2 << 20)
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert (await sandbox.python(copy, stdin=every, limits=limits)).stdout == every
    assert (await sandbox.exec(["cat"], stdin=every, limits=limits)).stdout == every


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "/", "/box", "../x", "a/../../x", "/etc/passwd", "/proc/self/mem", "/boxes/x"),
        *("/box/../etc/passwd", "/tmp/../box/x", "/dev/shm/x", "a\0b"),
        *("x" * 256, "a/" * 2048 + "x"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path under"):
        checked_path(path)


@given(st.text() | st.text("/.ab\0"))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        raw = checked_path(path)
    except ValueError:
        return
    assert os.path.normpath(raw) == raw
    assert raw.startswith((b"/box/", b"/tmp/"))


async def test_the_kernel_user_is_the_one_it_tells(sandbox: Sandbox) -> None:
    uid = sandbox.info.enforced["uid"]
    assert uid != "0"
    assert processes_of(uid)
    assert sandbox.info.protected == "dumpable"
    assert sandbox.info.enforced["seccomp"] == "filter"


async def test_the_worker_holds_nothing_but_its_channel(sandbox: Sandbox) -> None:
    await sandbox.python("pass")
    worker = {"local": ["socket", "socket"], "docker": ["pipe", "pipe"]}[sandbox.info.backend]
    bwrap = ["anon_inode", "pipe", "socket", "socket"]
    expected = [bwrap, worker] if sandbox.info.backend == "local" else [worker]
    async with asyncio.timeout(5):  # it answers before it closes what the program had
        while _held(sandbox) != expected:  # noqa: ASYNC110  the kernel raises no event of ours
            await asyncio.sleep(0.01)


def _held(sandbox: Sandbox) -> list[list[str]]:
    return sorted(_descriptors(pid) for pid in processes_of(sandbox.info.enforced["uid"]))


def _descriptors(pid: int) -> list[str]:
    targets = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return sorted(target.split(":")[0] for target in targets if target != "/dev/null")
