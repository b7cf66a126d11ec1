"""What local sandboxes hold together, who ends where memory does, and starts that fail."""

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from few_descriptors import few_descriptors

from agentgym.errors import SandboxError, SandboxUnavailable
from agentgym.sandbox import Sandbox
from agentgym.sandboxes import cgroups
from agentgym.sandboxes.cgroups import Cgroups, detection
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.local.backend import LocalBackend
from agentgym.sandboxes.local.launcher import Launcher
from agentgym.sandboxes.pool import Pool

pytestmark = pytest.mark.sandbox

TOTAL_BYTES = 160 << 20
USAGE = ("memory.usage_in_bytes", "memory.current")


# --- memory -------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, local_settings: LocalSandboxConfig) -> Iterator[Cgroups]:
    """A machine whose sandboxes may hold little together; their group is one for this test."""
    monkeypatch.setattr(detection, "PARENT", f"agentgym-test-{os.getpid()}")
    monkeypatch.setattr(Cgroups, "room_bytes", lambda _: TOTAL_BYTES)
    groups = cgroups.detect()
    if groups is None:
        pytest.skip("no control groups here")
    yield groups
    for folder in groups.folders:
        (folder / "spawners").rmdir()
        folder.rmdir()


async def test_where_all_together_hold_too_much_one_of_them_ends(
    small: Cgroups, local_settings: LocalSandboxConfig
) -> None:
    """None breaks a limit of its own, and their memory is in files, which no process holds."""
    async with local_settings.build() as sandboxes, contextlib.AsyncExitStack() as leases:
        held = [await leases.enter_async_context(sandboxes.lease()) for _ in range(3)]
        assert held[0].info.enforced["memory of all"] == "0.2 GiB"
        spawner = _launcher(sandboxes)._process
        for sandbox in held:
            with contextlib.suppress(SandboxError):
                await sandbox.exec(["sh", "-c", "head -c 60000000 /dev/zero > /box/file"])
        usage = small.roots["memory"] / USAGE[small.version - 1]
        assert int(usage.read_text()) <= TOTAL_BYTES
        assert 1 <= sum([await answers(sandbox) for sandbox in held]) < 3
        assert spawner.poll() is None
        async with sandboxes.lease(fresh=True) as another:
            assert await answers(another)


async def answers(sandbox: Sandbox) -> bool:
    try:
        return (await sandbox.python("print(1)")).stdout == b"1\n"
    except SandboxError:
        return False


async def test_the_machine_would_rather_lose_a_sandbox_than_who_runs_it(
    sandboxes: Pool, sandbox: Sandbox
) -> None:
    name = "/proc/self/oom_score_adj"
    own = _read(name)
    assert _read(f"/proc/{_launcher(sandboxes)._process.pid}/oom_score_adj") == own
    seen = await sandbox.exec(["cat", name])
    assert int(seen.stdout) == min(int(own) + 500, 1000)
    lowered = await sandbox.python(f"open({name!r}, 'w').write('0')")
    assert b"Errno" in lowered.stderr


# --- starts that fail ---------------------------------------------------------------------------


@pytest.fixture
async def started(sandboxes: Pool) -> AsyncIterator[Pool]:
    """A pool whose spawner runs and whose worker is compiled."""
    async with sandboxes.lease():
        yield sandboxes


async def test_without_descriptors_a_start_is_refused_and_leaks_nothing(started: Pool) -> None:
    launcher = _launcher(started)
    before = sorted(os.listdir("/proc/self/fd"))
    for spare in range(6):  # at each of them the start fails at another place
        with (
            few_descriptors(spare),
            pytest.raises(SandboxUnavailable, match="open files") as caught,
        ):
            await started._backend.start(exec_slots=started._exec_slots)
        assert "ulimit -n" in (caught.value.hint or "")
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert (len(launcher._free), launcher._num_slots) == (1, 2)
    async with started.lease(fresh=True) as sandbox:
        assert await answers(sandbox)


async def test_a_spawner_without_descriptors_refuses_and_goes_on(started: Pool) -> None:
    spawner = _launcher(started)._process.pid
    taken = {int(name) for name in os.listdir(f"/proc/{spawner}/fd")}
    free = [number for number in range(len(taken) + 9) if number not in taken]
    before = resource.prlimit(spawner, resource.RLIMIT_NOFILE)
    for first in free[:6]:  # three come with a request, two are a pipe, one joins a group
        resource.prlimit(spawner, resource.RLIMIT_NOFILE, (first, before[1]))
        with pytest.raises(SandboxUnavailable, match="Too many open files"):
            async with started.lease(fresh=True):
                pass
    resource.prlimit(spawner, resource.RLIMIT_NOFILE, before)
    async with started.lease(fresh=True) as sandbox:
        assert await answers(sandbox)
    assert _launcher(started)._process.pid == spawner


async def test_a_spawner_that_cannot_be_started_leaks_nothing(
    local_settings: LocalSandboxConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        async with local_settings.build() as sandboxes:
            with pytest.raises(SandboxUnavailable, match="temporarily unavailable") as caught:
                await sandboxes.probe()
        assert "ulimit -u" in (caught.value.hint or "")
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_a_group_that_somebody_took_for_left_is_made_again(
    local_settings: LocalSandboxConfig,
) -> None:
    if cgroups.detect() is None:
        pytest.skip("no control groups here")
    async with local_settings.build() as sandboxes:
        async with sandboxes.lease(fresh=True) as sandbox:
            await sandbox.close()
        (slot,) = _launcher(sandboxes)._free
        assert slot.group is not None
        slot.group.remove()
        assert not any(folder.exists() for folder in slot.group.folders)
        async with sandboxes.lease(fresh=True) as sandbox:
            assert await answers(sandbox)
            assert all(folder.exists() for folder in slot.group.folders)


async def test_hundreds_of_starts_and_ends_at_once_block_nobody() -> None:
    """Neither end waits for the other to read while that waits to be read."""
    launcher = Launcher(None)
    signal.alarm(20)
    try:
        launched = []
        for _ in range(800):
            each = launcher.launch(["/nowhere"], stdin=b"", seccomp=b"")
            each.channel.close()
            os.close(each.stderr)
            each.kill()
            launched.append(each)
        said = await asyncio.gather(*(each.gone for each in launched))
        assert {text.partition("]")[0] for text in said} == {"[Errno 2"}
    finally:
        await launcher.close()
        signal.alarm(0)


def _read(path: str) -> str:
    return Path(path).read_text()


def _launcher(sandboxes: Pool) -> Launcher:
    backend = sandboxes._backend
    assert isinstance(backend, LocalBackend)
    assert backend._launcher is not None
    return backend._launcher
