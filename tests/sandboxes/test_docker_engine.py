"""An engine that hangs, dies or has no room: one of our own."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from users import processes_of

from agentgym.check.report import NotChecked
from agentgym.check.sandbox.own_engine import IMAGE, OwnEngine
from agentgym.errors import SandboxDied, SandboxUnavailable
from agentgym.sandboxes.docker import DockerSandboxConfig, engine as engine_module
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import build

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    try:
        with OwnEngine.running() as own:
            yield own
    except NotChecked as reason:
        pytest.skip(str(reason))


@pytest.fixture
def settings(own: OwnEngine) -> DockerSandboxConfig:
    return DockerSandboxConfig(spares=0, image=IMAGE, base_url=own.url)


async def test_an_engine_that_hangs_is_told_and_what_it_made_late_is_removed(
    own: OwnEngine, settings: DockerSandboxConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped while a container is being asked for, and makes it when it goes on."""
    monkeypatch.setattr(engine_module, "_TIMEOUT_S", 1.0)
    async with settings.build() as sandboxes:
        async with sandboxes.lease() as sandbox:
            _signal(own, signal.SIGSTOP)
            try:
                with pytest.raises(SandboxUnavailable, match="did not answer within 1 s"):
                    async with sandboxes.lease():
                        pass
            finally:
                _signal(own, signal.SIGCONT)
            with Engine(own.url) as engine:
                await _until(lambda: sandbox.id in _names(engine))
                await _until(lambda: _names(engine) == [sandbox.id])
                await asyncio.sleep(1)
                assert _names(engine) == [sandbox.id]
            assert (await sandbox.python("print(1)")).stdout == b"1\n"
        began = time.monotonic()
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_told() -> None:
    """The engine has its images on a disk of its own that fills up."""
    folder = tempfile.mkdtemp(prefix="agentgym-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=True)
    small = OwnEngine(Path(folder))
    try:
        small.start()
        with Engine(small.url) as engine:
            build(engine, IMAGE)
            _fill(Path(folder, "filler"))
            with pytest.raises(SandboxUnavailable, match="disk of the Docker engine is full"):
                build(engine, "agentgym/another:latest")
        settings = DockerSandboxConfig(spares=0, image=IMAGE, base_url=small.url)
        with pytest.raises(SandboxUnavailable, match="disk of the Docker engine is full") as caught:
            asyncio.run(_probe(settings))
        assert "docker system prune" in (caught.value.hint or "")
    except NotChecked as reason:
        pytest.skip(str(reason))
    finally:
        small.close()
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder)


def _fill(path: Path) -> None:
    with path.open("wb", 0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:  # there is no more room
            return


async def _probe(settings: DockerSandboxConfig) -> None:
    async with settings.build() as sandboxes:
        await sandboxes.probe()


async def test_programs_end_with_an_engine_that_is_killed(
    own: OwnEngine, settings: DockerSandboxConfig
) -> None:
    """Nobody waits for another engine to come and clean up."""
    async with settings.build() as sandboxes:
        async with sandboxes.lease() as sandbox:
            if sandbox.info.enforced["memory"] == "engine":
                pytest.skip("its control group is not ours, nor are its processes")
            running = asyncio.create_task(sandbox.python("import time; time.sleep(60)"))
            await asyncio.sleep(0.1)
            uid = sandbox.info.enforced["uid"]
            assert len(processes_of(uid)) == 2
            await asyncio.to_thread(own.end, signal.SIGKILL)
            with pytest.raises(SandboxDied):
                await running
            await _until(lambda: not processes_of(uid), 2)
        await asyncio.to_thread(own.start)


def _signal(own: OwnEngine, number: signal.Signals) -> None:
    assert own._process is not None
    own._process.send_signal(number)


def _names(engine: Engine) -> list[str]:
    return [name.removeprefix("/") for each in engine.list(owner=None) for name in each["Names"]]


async def _until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  the engine raises no event of ours
            await asyncio.sleep(0.05)
