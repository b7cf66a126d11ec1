"""Containers on a real engine: hardened as asked, and nothing left of them, however it ends."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stubborn import BUSY

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Limits, Sandbox
from agentgym.sandboxes import cgroups
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.owner import is_gone, owner
from agentgym.sandboxes.docker.reaper import reap
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.pool import Pool

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def sandboxes(docker_settings: DockerSandboxConfig) -> AsyncIterator[Pool]:
    async with docker_settings.build() as sandboxes:
        yield sandboxes


@pytest.fixture
def engine(docker_settings: DockerSandboxConfig) -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


# --- what a container is ------------------------------------------------------------------------


async def test_a_container_is_hardened_as_asked(sandbox: Sandbox, engine: Engine) -> None:
    found = engine.inspect(sandbox.id)
    assert found is not None
    host, config = found["HostConfig"], found["Config"]
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert not host["Privileged"]
    assert host["ReadonlyRootfs"]
    assert (host["NetworkMode"], host["IpcMode"], host["PidMode"]) == ("none", "none", "")
    assert host["AutoRemove"]
    assert host["LogConfig"]["Type"] == "none"
    assert host["Memory"] == host["MemorySwap"] == Limits().memory_bytes
    assert host["PidsLimit"] == Limits().pids + 2
    assert host["Binds"] is None
    assert not host["Devices"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert any(each.startswith("seccomp={") for each in host["SecurityOpt"])
    uid = sandbox.info.enforced["uid"]
    assert config["User"] == f"{uid}:{uid}"
    assert (config["StdinOnce"], config["OpenStdin"], config["Tty"]) == (True, True, False)
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert config["Hostname"] == "sandbox"
    assert config["Labels"]["agentgym.owner"] == owner()
    assert all("nosuid,nodev" in options for options in host["Tmpfs"].values())


async def test_the_kernel_holds_what_was_asked(sandbox: Sandbox) -> None:
    result = await sandbox.exec(["cat", "/proc/self/status"])
    lines = dict(line.split(":\t") for line in result.stdout.decode().splitlines())
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(lines[kind], 16) == 0
    assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
    uid = sandbox.info.enforced["uid"]
    assert lines["Uid"].split() == lines["Gid"].split() == [uid] * 4
    assert lines["Groups"].split() in ([], [uid])


async def test_of_netlink_there_is_what_tells_of_routes_and_sockets(sandbox: Sandbox) -> None:
    code = """
import socket
def ask(protocol):
    try: socket.socket(16, 3, protocol).close()
    except PermissionError: return "refused"
    return "there"
print(*map(ask, (0, 4, 9, 15, 16)), socket.if_nameindex())
"""
    result = await sandbox.python(code)
    assert result.stdout == b"there there refused refused refused [(1, 'lo')]\n", result.stderr


async def test_a_sandbox_tells_what_it_is(sandbox: Sandbox, engine: Engine) -> None:
    assert sandbox.info.backend == "docker"
    name, _, layer = (sandbox.info.image or "").partition("@")
    found = engine.inspect(sandbox.id)
    assert found is not None
    assert found["Image"] == engine.image(name)["Id"]
    assert engine.image(name)["RootFS"]["Layers"] == [layer]
    assert sandbox.info.protected == "dumpable"
    held = {sandbox.info.enforced[kind] for kind in ("memory", "pids", "cpu")}
    assert held == {"engine"} if os.getuid() else held <= {"cgroup1", "cgroup2"}


async def test_nothing_of_the_users_settings_gets_in(
    docker_settings: DockerSandboxConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would put the proxies of its configuration into every container."""
    proxies = {"default": {"httpProxy": "http://user:hunter2@proxy"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with docker_settings.build() as sandboxes, sandboxes.lease() as sandbox:
        seen = await sandbox.exec(["sh", "-c", "env; cat /proc/self/environ"])
        assert b"hunter2" not in seen.stdout
        assert b"PATH=" in seen.stdout
        with Engine() as engine:
            assert "hunter2" not in json.dumps(engine.inspect(sandbox.id))


async def test_each_container_has_a_user_of_its_own(docker_settings: DockerSandboxConfig) -> None:
    async with (
        docker_settings.build() as one,
        LocalSandboxConfig(spares=0).build() as other,
        one.lease() as a,
        one.lease() as b,
        other.lease() as c,
    ):
        assert len({each.info.enforced["uid"] for each in (a, b, c)}) == 3


# --- limits where only the engine holds them ----------------------------------------------------


@pytest.fixture
async def unreachable(
    docker_settings: DockerSandboxConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sandbox]:
    """As behind a remote engine, or without the right to its control groups."""
    monkeypatch.setattr(cgroups, "of_process", lambda *_: None)
    limits = Limits(memory_bytes=128 << 20, pids=20)
    settings = docker_settings.model_copy(update={"limits": limits})
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        yield sandbox


async def test_without_its_control_group_the_engine_holds_the_limits(unreachable: Sandbox) -> None:
    held = {unreachable.info.enforced[kind] for kind in ("memory", "pids", "cpu")}
    assert held == {"engine"}
    bomb = "import os, time\nfor _ in range(9):\n  if not os.fork(): x = b'x' * (60 << 20); time.sleep(1); os._exit(0)"
    used = "import os; print(sum(os.wait()[1] == 9 for _ in range(9)))"
    result = await unreachable.python(f"{bomb}\n{used}", limits=Limits(wall_s=20))
    assert int(result.stdout) >= 6
    forks = """
import os, time
made = 0
try:
    while made < 100:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError: print(made)
"""
    assert (await unreachable.python(forks)).stdout == b"19\n"
    assert await unreachable.reset()


COUNTED = """
import asyncio, json, sys
from agentgym.sandbox import Limits
from agentgym.sandboxes.docker import DockerSandboxConfig
async def main():
    limits = Limits(memory_bytes=128 << 20)
    config = DockerSandboxConfig(spares=0, image=sys.argv[1], limits=limits)
    async with config.build() as sandboxes, sandboxes.lease() as sandbox:
        bomb = await sandbox.python("x = b'x' * (1 << 28)")
        small = await sandbox.python("x = b'x' * (1 << 26)", limits=Limits(memory_bytes=1 << 25))
        burn = await sandbox.python("while True: pass", limits=Limits(cpu_s=0.3, wall_s=1))
        print(json.dumps([sandbox.info.enforced["memory"], bomb.status, bomb.oom_kills,
                          small.stderr.decode().split()[-1], burn.status]))
asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_an_ordinary_user_of_the_engine_counts_what_it_cannot_limit(
    docker_settings: DockerSandboxConfig,
) -> None:
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    socket = Path("/var/run/docker.sock")
    if not Path(python).exists() or not socket.exists():
        pytest.skip(f"needs {python} and {socket}")
    group = str(socket.stat().st_gid)
    if group == "0":
        pytest.skip("the engine's socket belongs to root alone")
    paths = [str(Path(__file__).parents[2]), *(p for p in sys.path if p.endswith("site-packages"))]
    done = subprocess.run(
        [
            *("setpriv", "--reuid", "12345", "--regid", group, "--clear-groups"),
            *(python, "-c", COUNTED, docker_settings.image),
        ],
        env={"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin", "HOME": "/nowhere"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "No module named" in done.stderr or "Permission denied: '/" in done.stderr:
        pytest.skip(f"an ordinary user cannot read this installation: {done.stderr[-200:]!r}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["engine", "oom", 1, "MemoryError", "cpu_limit"]


# --- ends ---------------------------------------------------------------------------------------


async def test_an_idle_container_that_is_ended_is_not_leased_again(
    sandboxes: Pool, engine: Engine
) -> None:
    async with sandboxes.lease() as sandbox:
        pass
    engine.remove(sandbox.id)
    async with sandboxes.lease() as another:
        assert another is not sandbox
        assert (await another.python("print(1)")).stdout == b"1\n"


async def test_closing_leaves_nothing(docker_settings: DockerSandboxConfig) -> None:
    fds, threads = _descriptors(), threading.active_count()
    settings = docker_settings.model_copy(update={"spares": 1})
    async with settings.build() as sandboxes:
        async with sandboxes.lease() as sandbox, sandboxes.lease(fresh=True):
            run = sandbox.id.rpartition("-")[0]
            await sandbox.python("pass")
            (container_id,) = [
                each["Id"] for each in _containers(run) if each["Names"] == [f"/{sandbox.id}"]
            ]
            assert _groups(container_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await sandbox.exec(["sleep", "9"])
        assert _containers(run)
    assert _containers(run) == []
    assert _groups(container_id) == []
    await _until(lambda: threading.active_count() <= threads)
    assert _descriptors() - fds == set()
    with pytest.raises(SandboxUnavailable, match="closed"):
        async with sandboxes.lease():
            pass


async def test_cancelled_starts_leave_nothing(sandboxes: Pool, engine: Engine) -> None:
    async with sandboxes.lease() as sandbox:
        run = sandbox.id.rpartition("-")[0]
        for n in range(12):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(n / 40), sandboxes.lease(fresh=True) as another:
                    await another.python("import time; time.sleep(60)")
        await _until(lambda: len(engine.list(run=run)) == 1)
        assert (await sandbox.python("print(1)")).stdout == b"1\n"


HOST = """
import asyncio, sys
from agentgym.sandboxes.docker import DockerSandboxConfig
async def main():
    config = DockerSandboxConfig(image=sys.argv[1], spares=1)
    async with config.build() as sandboxes, sandboxes.lease() as sandbox:
        await sandbox.python("pass")
        running = asyncio.create_task(sandbox.python(sys.argv[2]))
        await asyncio.sleep(0.5)
        print(sandbox.id.rpartition("-")[0], flush=True)
        await running
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_host(
    docker_settings: DockerSandboxConfig, engine: Engine, number: signal.Signals
) -> None:
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, docker_settings.image, BUSY],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with host:
        assert host.stdout is not None
        run = host.stdout.readline().decode().strip()
        assert len(engine.list(run=run)) == 2
        host.send_signal(number)
        began = time.monotonic()
        host.wait(10)
    while engine.list(run=run):
        assert time.monotonic() - began < 5
        time.sleep(0.01)


# --- the reaper ---------------------------------------------------------------------------------


def created(engine: Engine, settings: DockerSandboxConfig, **labels: str) -> str:
    """A container that was made, but never started: nothing ever ends it."""
    name = f"agentgym-test-{os.urandom(4).hex()}"
    marks = {f"agentgym.{key}": value for key, value in labels.items()}
    engine.create(name, {"Image": settings.image, "Cmd": ["true"], "Labels": marks})
    return name


def test_containers_whose_owner_is_gone_are_removed(
    docker_settings: DockerSandboxConfig, engine: Engine
) -> None:
    """A deadline is for owners of elsewhere: one that lives here keeps its container for days."""
    later, earlier = str(int(time.time()) + 999), "1000"
    place, _, _ = owner().rpartition(":")
    dead = [
        created(engine, docker_settings, owner=f"{place}:{os.getpid()}-1", deadline=later),
        created(engine, docker_settings, owner="another boot:1:2-3", deadline=earlier),
    ]
    alive = [
        created(engine, docker_settings, owner=owner(), deadline=later),
        created(engine, docker_settings, owner=owner(), deadline=earlier),
        created(engine, docker_settings, owner="another boot:1:2-3", deadline=later),
    ]
    unknown = created(engine, docker_settings)
    try:
        reap(engine)
        assert [engine.inspect(name) for name in dead] == [None, None]
        assert all(engine.inspect(name) for name in (*alive, unknown))
    finally:
        for name in (*dead, *alive, unknown):
            engine.remove(name)


def test_every_start_reaps(docker_settings: DockerSandboxConfig, engine: Engine) -> None:
    place, _, _ = owner().rpartition(":")
    name = created(engine, docker_settings, owner=f"{place}:{os.getpid()}-1")

    async def start() -> None:
        async with docker_settings.build() as sandboxes, sandboxes.lease():
            assert engine.inspect(name) is None

    asyncio.run(start())


def test_a_process_of_elsewhere_is_never_said_to_be_gone() -> None:
    boot, namespace, process = owner().split(":")
    assert not is_gone(owner())
    assert is_gone(f"{boot}:{namespace}:{os.getpid()}-1")
    assert not is_gone(f"{boot}:1:{os.getpid()}-1")
    assert not is_gone(f"another:{namespace}:{os.getpid()}-1")
    assert not any(is_gone(name) for name in ("", "nonsense", f"{boot}:{namespace}:x"))
    assert process.startswith(f"{os.getpid()}-")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make control groups")
async def test_control_groups_of_no_container_are_removed(sandbox: Sandbox, engine: Engine) -> None:
    """Those that are not young, for another engine may have made them a moment ago."""
    found = engine.inspect(sandbox.id)
    assert found is not None
    parents = cgroups.tops("agentgym")
    old = [parent / ("0123456789abcdef" * 4) for parent in parents]
    young = [parent / ("fedcba9876543210" * 4) for parent in parents]
    for folder in (*old, *young):
        folder.mkdir()
    for folder in (*old, *_groups(found["Id"])):
        os.utime(folder, (1, 1))
    reap(engine)
    assert not any(folder.exists() for folder in old)
    assert all(folder.exists() for folder in young)
    for folder in young:
        folder.rmdir()
    assert _groups(found["Id"])
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


# --- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"image": "agentgym/none:such"}, "no such image", "makes agentgym/python here"),
        ({"python": "no-python"}, "has no such Python", "sandbox.python"),
        ({"python": "/no/python"}, "has no such Python", "sandbox.python"),
        ({"python": "/usr/bin/true"}, "no worker started", "CPython 3.9"),
        ({"runtime": "runsc-none"}, "does not know this runtime", "daemon.json"),
        ({"base_url": "unix:///nowhere/docker.sock"}, "no Docker engine answers", "docker.io"),
        ({"base_url": "tcp://127.0.0.1:1"}, "no Docker engine answers", "DOCKER_HOST"),
    ],
    ids=["image", "python", "path", "no python", "runtime", "socket", "port"],
)
async def test_what_cannot_be_is_told_with_the_mend(
    docker_settings: DockerSandboxConfig, changes: dict[str, Any], reason: str, hint: str
) -> None:
    async with docker_settings.model_copy(update=changes).build() as sandboxes:
        for _ in range(2):  # and again
            with pytest.raises(SandboxUnavailable, match=reason) as caught:
                await sandboxes.probe()
            assert hint in (caught.value.hint or "")


async def test_without_the_sdk_the_mend_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    async with DockerSandboxConfig().build() as sandboxes:
        with pytest.raises(SandboxUnavailable, match="package `docker`") as caught:
            await sandboxes.probe()
        assert caught.value.hint == "pip install 'agentgym-framework[docker]'"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_a_socket_that_is_not_ours_is_told(docker_settings: DockerSandboxConfig) -> None:
    code = (
        "import os\n"
        "from agentgym.sandboxes.docker.engine import Engine, NoSuchImage\n"
        "from agentgym.errors import SandboxUnavailable\n"
        "import docker, requests\n"
        "os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "try: Engine()\n"
        "except SandboxUnavailable as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "permission denied" in done.stdout, done.stderr
    assert "usermod -aG docker" in done.stdout


def _containers(run: str) -> list[dict[str, Any]]:
    with Engine() as engine:
        return engine.list(run=run)


def _descriptors() -> set[str]:
    """What this process has open, by what it is: numbers are used again."""
    return {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)}


def _groups(container_id: str) -> list[Path]:
    return [path for top in cgroups.tops("agentgym") for path in top.glob(f"*{container_id}*")]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  the engine raises no event of ours
            await asyncio.sleep(0.02)
