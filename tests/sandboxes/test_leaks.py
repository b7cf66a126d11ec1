"""Nothing is left behind, whatever is killed: programs, workers, containers, the host itself."""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentgym.sandboxes import cgroups, owners
from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.reaper import reap
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.uids import FIRST_UID, UIDS

pytestmark = pytest.mark.sandbox

HOST = Path(__file__).with_name("leaking_host.py")
GONE_S = 5.0

needs_uids = pytest.mark.skipif(
    os.getuid() != 0, reason="local sandboxes of an ordinary user run as whatever else it runs"
)


@needs_uids
@pytest.mark.slow
def test_hundreds_of_unlucky_local_episodes_leave_nothing(
    local_settings: LocalSandboxConfig, tmp_path: Path
) -> None:
    survive(local_settings, 300, tmp_path, seed=1, kill_after_s=2.0)


@pytest.mark.slow
def test_tens_of_unlucky_docker_episodes_leave_nothing(
    docker_settings: DockerSandboxConfig, tmp_path: Path
) -> None:
    survive(docker_settings, 30, tmp_path, seed=1, kill_after_s=4.0)


@needs_uids
@pytest.mark.soak
def test_ten_thousand_unlucky_local_episodes_leave_nothing(
    local_settings: LocalSandboxConfig, tmp_path: Path
) -> None:
    survive(local_settings, 10_000, tmp_path, seed=2, kill_after_s=10.0)


@pytest.mark.soak
def test_a_thousand_unlucky_docker_episodes_leave_nothing(
    docker_settings: DockerSandboxConfig, tmp_path: Path
) -> None:
    with mounts_as_before():
        survive(docker_settings, 1000, tmp_path, seed=2, kill_after_s=15.0)


def survive(
    settings: PoolSettings, number: int, folder: Path, *, seed: int, kill_after_s: float
) -> None:
    """Have hosts play until so many episodes are done; every other host is killed on its way."""
    draw = random.Random(seed)
    done = ended = killed = 0
    for turn in itertools.count():
        host = Host(settings, number - done, folder, seed=turn)
        is_unlucky = turn % 2 == 0 or number - done > 3 * number // 4
        if is_unlucky:
            host.kill_after(draw.uniform(0.2, 1.0) * kill_after_s)
        host.wait()
        done += host.num_done
        killed += host.was_killed
        if not host.was_killed:
            assert host.process.returncode == 0, host.said
            assert host.said[-1] == "fds 0"
            ended += 1
        assert_gone(host, settings)
        if done >= number and ended and killed:
            return


class Host:
    """One process with a pool; what it says is read as it comes."""

    def __init__(self, settings: PoolSettings, number: int, folder: Path, *, seed: int) -> None:
        self.temporary = folder / f"temporary-{seed}"
        self.temporary.mkdir()
        self.said: list[str] = []
        self.was_killed = False
        words = [settings.model_dump_json(), str(max(number, 20)), str(seed)]
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )
        self._began = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def kill_after(self, seconds: float) -> None:
        """Kill it so many seconds after its first episode began."""
        self._began.wait(60)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            return
        self.process.send_signal(signal.SIGKILL)
        self.was_killed = True

    def wait(self) -> None:
        """Wait for its end, and for all it said."""
        self.process.wait(600)
        self._reader.join(60)

    @property
    def num_done(self) -> int:
        return self.said.count("done")

    @property
    def uids(self) -> set[int]:
        return {int(line.split()[1]) for line in self.said if line.startswith("uid")}

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # else it was killed in the middle
                    self.said.append(line.strip())
                self._began.set()
        self._began.set()


def assert_gone(host: Host, settings: PoolSettings) -> None:
    """Within seconds there is no process, no container, no control group and no file of it."""
    with uids_kept_from_others(host):
        eventually(lambda: processes_of(host.uids))
    if settings.name == "docker":
        with Engine() as engine:
            never_started = eventually(lambda: containers_of(host.process.pid, engine), "created")
            if never_started:
                reap(engine)
            assert containers_of(host.process.pid, engine) == []
            eventually(lambda: groups_of_no_container(engine))
    eventually(groups_of_dead)
    assert os.listdir(host.temporary) == []


@contextlib.contextmanager
def uids_kept_from_others(host: Host) -> Iterator[None]:
    """Take the block of users that it had, so that what runs as one of them is its own."""
    blocks = {(uid - FIRST_UID) // UIDS for uid in host.uids if uid >= FIRST_UID}
    with contextlib.ExitStack() as held:
        for block in blocks:
            lock = held.enter_context(socket.socket(socket.AF_UNIX))
            eventually(lambda lock=lock, block=block: bound(lock, block))  # type: ignore[misc]
        yield


def bound(lock: socket.socket, block: int) -> str:
    try:
        lock.bind(f"\0agentgym-uids-{block}")
    except OSError as error:
        return str(error)
    return ""


def eventually(look: "object", allowed: str = "") -> "object":
    """Return what is found when there is nothing, or nothing but what is allowed."""
    assert callable(look)
    deadline = time.monotonic() + GONE_S
    while True:
        found = look()
        if not found or (allowed and all(allowed in str(each) for each in found)):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def processes_of(uids: set[int]) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid in uids:
                found.append((path / "stat").read_text())
    return found


def containers_of(pid: int, engine: Engine) -> list[str]:
    return [
        f"{each['State']} {each['Names']}"
        for each in engine.list(owner=None)
        if f":{pid}-" in each["Labels"]["agentgym.owner"]
    ]


def groups_of_dead() -> list[Path]:
    """Groups whose spawner is gone; it removes them. `detect` would, too, so it is not asked."""
    return [path for path in groups() if owners.is_gone(path.name)]


def groups_of_no_container(engine: Engine) -> list[Path]:
    there = [path for path in groups() if len(path.name) == 64]
    known = {each["Id"] for each in engine.list(owner=None)}
    return [path for path in there if path.name not in known and path.exists()]


def groups() -> list[Path]:
    return [path for top in cgroups.tops("agentgym") for path in top.iterdir() if path.is_dir()]


@contextlib.contextmanager
def mounts_as_before() -> Iterator[None]:
    """An engine mounts what containers see where we see it; bubblewrap never does."""
    before = Path("/proc/self/mountinfo").read_text().splitlines()
    yield
    left = set(Path("/proc/self/mountinfo").read_text().splitlines()) - set(before)
    assert json.dumps(sorted(left)) == "[]"
