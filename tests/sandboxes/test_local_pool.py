"""Leases: what is reused, what never is, and what is left when everything ends."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stubborn import BUSY

from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandbox import Limits, Status
from agentgym.sandboxes import cgroups
from agentgym.sandboxes.local import LocalSandboxConfig, bubblewrap, probe
from agentgym.sandboxes.local.backend import LocalBackend
from agentgym.sandboxes.owners import numbering, owner_name
from agentgym.sandboxes.pool import Pool

pytestmark = pytest.mark.sandbox
CGROUPS = Path("/sys/fs/cgroup")
ROOT = Path(__file__).parents[2]


async def test_a_clean_sandbox_is_leased_again(sandboxes: Pool) -> None:
    async with sandboxes.lease() as first:
        await first.write_file("secret", b"x")
    await _settled(sandboxes)
    async with sandboxes.lease() as second:
        assert second.id == first.id
        assert (await second.exec(["ls", "-A", "/box"])).stdout == b""


async def test_a_fresh_sandbox_never_ran_anything(sandboxes: Pool) -> None:
    seen = set()
    for fresh in (True, False, True, True, False, True):
        async with sandboxes.lease(fresh=fresh) as sandbox:
            assert not (fresh and sandbox.id in seen)
            seen.add(sandbox.id)
            await sandbox.python("pass")
        await _settled(sandboxes)
    assert len(seen) == 5


async def test_an_unused_sandbox_stays_fresh(sandboxes: Pool) -> None:
    async with sandboxes.lease(fresh=True) as first:
        pass
    async with sandboxes.lease(fresh=True) as second:
        assert second.id == first.id


async def test_spares_are_started_ahead() -> None:
    async with LocalSandboxConfig(spares=2).build() as sandboxes:
        async with sandboxes.lease():
            await _settled(sandboxes)
            waiting = {spare.id for spare in sandboxes._spares}
        assert len(waiting) == 2
        async with sandboxes.lease(fresh=True) as sandbox:
            assert sandbox.id in waiting


async def test_a_sandbox_is_replaced_after_its_uses() -> None:
    ids = set()
    async with LocalSandboxConfig(spares=0, max_uses=2).build() as sandboxes:
        for _ in range(6):
            async with sandboxes.lease() as sandbox:
                ids.add(sandbox.id)
                await sandbox.python("pass")
            await _settled(sandboxes)
    assert len(ids) == 3


async def test_a_lost_sandbox_is_not_leased_again(sandboxes: Pool) -> None:
    async with sandboxes.lease() as first:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await first.exec(["sleep", "9"])
    async with sandboxes.lease() as second:
        assert second.id != first.id


async def test_an_error_of_the_holder_returns_the_sandbox(sandboxes: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with sandboxes.lease():
            raise ZeroDivisionError
    async with sandboxes.lease() as sandbox:
        assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_waiting_for_a_slot_costs_no_wall_time() -> None:
    limits = Limits(wall_s=0.6)
    async with LocalSandboxConfig(exec_slots=1, spares=0).build() as sandboxes:

        async def sleep() -> Status:
            async with sandboxes.lease() as sandbox:
                return (await sandbox.exec(["sleep", "0.25"], limits=limits)).status

        began = time.monotonic()
        assert await asyncio.gather(*(sleep() for _ in range(4))) == [Status.EXITED] * 4
        assert time.monotonic() - began > 1.0


async def test_many_leases_at_once(sandboxes: Pool) -> None:
    async def run(n: int) -> bytes:
        async with sandboxes.lease(fresh=bool(n % 2)) as sandbox:
            return (await sandbox.python(f"print({n})")).stdout

    results = await asyncio.gather(*(run(n) for n in range(24)))
    assert results == [b"%d\n" % n for n in range(24)]


async def test_two_owners_share_no_user() -> None:
    config = LocalSandboxConfig(spares=0)
    async with (
        config.build() as one,
        config.build() as other,
        one.lease() as a,
        other.lease() as b,
        one.lease() as c,
    ):
        uids = {sandbox.info.enforced["uid"] for sandbox in (a, b, c)}
        assert len(uids) == (3 if os.getuid() == 0 else 1)


async def test_closing_ends_everything() -> None:
    sandboxes = LocalSandboxConfig(spares=2).build()
    async with sandboxes.lease() as sandbox:
        await _settled(sandboxes)
        owner = _owner(sandboxes)
        assert _processes(owner)
        await sandboxes.close()
        await sandboxes.close()
        with pytest.raises(SandboxDied):
            await sandbox.python("pass")
    with pytest.raises(SandboxUnavailable, match="closed"):
        async with sandboxes.lease():
            pass
    assert _remains(owner) == []


async def test_descriptors_are_as_before_when_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with LocalSandboxConfig(spares=2).build() as sandboxes:
        for _ in range(5):
            async with sandboxes.lease(fresh=True) as sandbox:
                await sandbox.python("pass")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05), sandboxes.lease() as sandbox:
                await sandbox.exec(["sleep", "9"])
    assert len(os.listdir("/proc/self/fd")) == before


async def test_cancelled_starts_leave_nothing(sandboxes: Pool) -> None:
    async with sandboxes.lease():
        pass
    for n in range(30):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(n / 1000), sandboxes.lease(fresh=True) as sandbox:
                await sandbox.python("import time; time.sleep(9)")
    await _settled(sandboxes)
    async with sandboxes.lease() as sandbox:
        assert (await sandbox.python("print(1)")).stdout == b"1\n"
        await _until(lambda: len(_processes(_owner(sandboxes))) <= 5)


async def test_sandboxes_die_with_the_spawner_and_another_takes_over(
    sandboxes: Pool,
) -> None:
    async with sandboxes.lease() as sandbox:
        running = asyncio.create_task(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        owner = _owner(sandboxes)
        family = _processes(owner)
        assert len(family) >= 4
        os.kill(owner, signal.SIGKILL)
        with pytest.raises(SandboxDied):
            await running
    async with sandboxes.lease() as sandbox:
        assert (await sandbox.python("print(1)")).stdout == b"1\n"
    await _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))
    cgroups.detect()  # as every start does
    assert _remains(owner) == []


HOST = """
import asyncio, sys
from agentgym.sandboxes.local import LocalSandboxConfig
async def main():
    async with LocalSandboxConfig(spares=1).build() as sandboxes, sandboxes.lease() as sandbox:
        await sandbox.python("pass")
        running = asyncio.create_task(sandbox.python(sys.argv[1]))
        await asyncio.sleep(0.2)
        print(sandboxes._backend._launcher._process.pid, flush=True)
        await running
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_host(number: signal.Signals) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, BUSY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with host:
        assert host.stdout is not None
        owner = int(host.stdout.readline())
        assert len(_processes(owner)) >= 5
        host.send_signal(number)
        host.wait(10)
    deadline = time.monotonic() + 5
    while _remains(owner) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _remains(owner) == []


def test_groups_of_dead_owners_are_removed() -> None:
    found = cgroups.detect()
    if found is None:
        pytest.skip("no control groups here")
    dead = found.create(f"{os.getpid()}-1-{numbering()}.0")  # our pid, but started at another time
    alive = found.create(f"{owner_name(os.getpid())}.0")
    cgroups.detect()
    assert not any(folder.exists() for folder in dead.folders)
    assert all(folder.exists() for folder in alive.folders)
    alive.remove()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_an_ordinary_user_has_sandboxes_too(tmp_path: Path) -> None:
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if shutil.which("bwrap") is None or not Path(python).exists():
        pytest.skip(f"needs bubblewrap and {python}")
    code = """
import asyncio, json
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandbox import Limits
BOMB = '''
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError: print(made)
'''
async def main():
    async with LocalSandboxConfig().build() as sandboxes, sandboxes.lease() as sandbox:
        forks = await sandbox.python(BOMB, limits=Limits(pids=20))
        memory = await sandbox.python("bytes(1 << 29)", limits=Limits(memory_bytes=128 << 20))
        score = await sandbox.exec(["cat", "/proc/self/oom_score_adj"])
        clean = await sandbox.reset()
        print(json.dumps([sandbox.info.enforced, forks.stdout.decode(),
                          memory.stderr.decode().split()[-1], clean, score.stdout.decode()]))
asyncio.run(main())
"""
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    argv = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", python, "-c", code]
    env = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, timeout=60)
    if b"No module named" in done.stderr or b"ermission denied" in done.stderr:
        pytest.skip(f"an ordinary user cannot read this installation: {done.stderr[-200:]!r}")
    assert done.returncode == 0, done.stderr.decode()
    enforced, forks, memory, clean, score = json.loads(done.stdout)
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(score) == min(own + 500, 1000)
    assert enforced["uid"] == "12345"
    assert (enforced["memory"], forks, memory, clean) == ("rlimit", "19\n", "MemoryError", True)


async def test_the_probe_tells_what_is_enforced() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    info = await probe()
    assert info.backend == "local"
    assert info.protected == "dumpable"
    assert set(info.enforced) - {"memory of all"} == {"memory", "pids", "cpu", "seccomp", "uid"}


async def test_without_bubblewrap_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="bubblewrap") as caught:
        await probe()
    assert caught.value.hint == "apt-get install bubblewrap"


async def test_without_python_there_is_no_sandbox() -> None:
    with pytest.raises(SandboxUnavailable, match="no-python") as caught:
        await probe(LocalSandboxConfig(python="/usr/bin/no-python"))
    assert caught.value.hint == "apt-get install python3"


async def test_a_start_that_fails_tells_what_bubblewrap_said() -> None:
    with pytest.raises(SandboxUnavailable, match="execvp"):
        await probe(LocalSandboxConfig(python=sys.executable))  # not below /usr, so not inside


@pytest.mark.parametrize(
    ("said", "reason", "hint"),
    [
        ("bwrap: setting up uid map: Permission denied", "namespaces are restricted", ""),
        ("bwrap: loopback: Failed RTM_NEWADDR: Not permitted", "namespaces are restricted", ""),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "/proc", "docker"),
        ("bwrap: No permissions to create new namespace, likely", "namespaces are forbidden", ""),
        ("bwrap: Unknown option --disable-userns", "older than 0.8", "apt-get"),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", "seccomp", "CONFIG_SECCOMP"),
        ("bwrap: something else", "something else", "doctor"),
    ],
)
def test_complaints_are_explained(said: str, reason: str, hint: str) -> None:
    error = bubblewrap.explain(said)
    assert reason in str(error)
    assert said in str(error)
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("name", "refuses", "mend"),
    [
        ("kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", 0, "user.max_user_namespaces=15000"),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, "unprivileged_userns=0"),
    ],
)
def test_the_mend_is_a_switch_that_this_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, refuses: int, mend: str
) -> None:
    monkeypatch.setattr(bubblewrap, "_SYSCTLS", tmp_path)
    said = "bwrap: setting up uid map: Permission denied"
    assert "sysctl" not in (bubblewrap.explain(said).hint or "")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{refuses}\n")
    assert (bubblewrap.explain(said).hint or "").endswith(mend)
    (tmp_path / name).write_text(f"{1 - refuses}\n")
    assert "sysctl" not in (bubblewrap.explain(said).hint or "")


async def test_where_namespaces_are_forbidden_the_probe_says_so() -> None:
    """In a user namespace that may hold no others: what a hardened machine looks like."""
    if shutil.which("bwrap") is None or shutil.which("unshare") is None:
        pytest.skip("needs bubblewrap and unshare")
    code = (
        "import asyncio\n"
        "from agentgym.errors import SandboxUnavailable\n"
        "from agentgym.sandboxes.local import probe\n"
        "try: asyncio.run(probe())\n"
        "except SandboxUnavailable as error: print(error, '|', error.hint)\n"
    )
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    process = await asyncio.create_subprocess_exec(
        *["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"],
        *[sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    if b"max_user_namespaces" in stderr:
        pytest.skip("user namespaces cannot be limited here")
    assert b"namespace" in stdout or b"user id" in stdout, (stdout, stderr)


@pytest.mark.soak
async def test_a_thousand_cancelled_calls_leak_nothing() -> None:
    fds = len(os.listdir("/proc/self/fd"))
    async with LocalSandboxConfig().build() as sandboxes:
        for n in range(1000):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((n % 60) / 1000):
                    async with sandboxes.lease(fresh=bool(n % 3)) as sandbox:
                        while True:
                            await sandbox.python("import os; os.fork(); print('x' * 99999)")
        await _settled(sandboxes)
        owner = _owner(sandboxes)
        await _until(lambda: len(_processes(owner)) <= 1 + 3 * 60)
    assert _remains(owner) == []
    assert len(os.listdir("/proc/self/fd")) == fds


def _owner(sandboxes: Pool) -> int:
    backend = sandboxes._backend
    assert isinstance(backend, LocalBackend)
    assert backend._launcher is not None
    return backend._launcher._process.pid


async def _settled(sandboxes: Pool) -> None:
    """Wait for what goes on in the background."""
    while sandboxes._tasks:
        await asyncio.wait(list(sandboxes._tasks))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the kernel raises no event of ours
            await asyncio.sleep(0.02)


def _processes(owner: int) -> list[int]:
    """The spawner and everything below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {owner} & parents.keys()
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return sorted(family)


def _remains(owner: int) -> list[object]:
    """Processes and control groups; `detect` would reap the groups, so it is not asked."""
    tops = [path for name in ("agentgym", "*/agentgym") for path in CGROUPS.glob(name)]
    return [*_processes(owner), *(path for top in tops for path in top.glob(f"{owner}-*"))]
