"""What an image brings along that a container must not have, and engines that answer oddly."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from few_descriptors import few_descriptors

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine, NoSuchImage
from agentgym.sandboxes.docker.images import build
from agentgym.sandboxes.docker.specification import closed_to

pytestmark = pytest.mark.sandbox

Derive = Callable[..., DockerSandboxConfig]


@pytest.fixture
def engine(docker_settings: DockerSandboxConfig) -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def derive(docker_settings: DockerSandboxConfig, engine: Engine) -> Iterator[Derive]:
    """Make an image of the one for tests: with folders open to all, and lines of a Dockerfile."""
    made: list[str] = []

    def derive(*lines: str, folders: str = "/data") -> DockerSandboxConfig:
        name = f"agentgym-test-{os.urandom(4).hex()}"
        words = ["sh", "-c", f"mkdir -pm 777 {folders} && echo kept > {folders}/file"]
        engine.create(name, {"Image": docker_settings.image, "Cmd": words})
        engine.start(name)
        assert engine._client.wait(name)["StatusCode"] == 0
        engine._client.commit(name, f"agentgym/{name}", "latest", changes=list(lines))
        engine.remove(name)
        made.append(f"agentgym/{name}:latest")
        return docker_settings.model_copy(update={"image": made[-1]})

    yield derive
    for image in made:
        engine._client.remove_image(image)


WRITE = """
import os
for path in ("/data", "/tmp", "/dev/shm"):
    try:
        open(path + "/x", "w").close()
        print(path, "written")
    except OSError as error: print(path, os.strerror(error.errno))
"""


async def test_the_volumes_of_an_image_are_no_place_to_write(
    derive: Derive, engine: Engine
) -> None:
    settings = derive("VOLUME /data", "VOLUME /tmp/")
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        found = engine.inspect(sandbox.id) or {}
        assert [mount for mount in found["Mounts"] if mount["Type"] == "volume"] == []
        written = await sandbox.python(WRITE)
        assert written.stdout.decode().splitlines() == [
            "/data Read-only file system",
            "/tmp written",
            "/dev/shm written",
        ]
        assert await sandbox.reset()
        assert (await sandbox.exec(["ls", "-A", "/tmp", "/data"])).stdout == b"/data:\n\n/tmp:\n"


def test_volumes_are_closed_unless_they_are_ours_or_within() -> None:
    assert closed_to(["/data/", "/srv//x", "/tmp/", "/box", "/dev/shm", "/boxes"]) == [
        "/boxes",
        "/data",
        "/srv/x",
    ]
    for path in ("/box/cache", "/tmp/../tmp/x"):
        with pytest.raises(SandboxUnavailable, match="has a volume at") as caught:
            closed_to([path])
        assert "docker export" in (caught.value.hint or "")


async def test_an_image_with_a_volume_in_our_place_is_refused(derive: Derive) -> None:
    async with derive("VOLUME /tmp/cache").build() as sandboxes:
        with pytest.raises(SandboxUnavailable, match="volume at /tmp/cache"):
            await sandboxes.probe()


async def test_of_the_environment_of_an_image_only_its_path_is_left(
    derive: Derive, engine: Engine
) -> None:
    """Some variables change what an interpreter does, and the worker is one."""
    variables = "PYTHONOPTIMIZE=2 PYTHONPATH=/data PYTHONHASHSEED=7 SECRET=hunter2 PATH=/bin:/data"
    settings = derive(f"ENV {variables}")
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        code = "import os, sys; print(sys.flags.optimize, '/data' in sys.path, os.environ['PATH'])"
        result = await sandbox.python(f"{code}\nprint(hash('a'))")
        assert result.stdout.splitlines()[0] == b"0 False /bin:/data", result.stderr
        another = await sandbox.exec(["python3", "-c", "print(hash('a'))"])
        assert result.stdout.splitlines()[1] == another.stdout.strip()
        found = (engine.inspect(sandbox.id) or {})["Config"]["Env"]
        assert "hunter2" not in json.dumps(found)


async def test_a_python_without_ctypes_is_refused(
    docker_settings: DockerSandboxConfig, engine: Engine
) -> None:
    image = "agentgym/test-minimal:latest"
    first = build(engine, image, packages=("python3-minimal",))
    second = build(engine, image, packages=("python3-minimal", "sed"))
    try:
        assert engine.image(image)["Id"] == second
        with pytest.raises(NoSuchImage):  # what was replaced is not left behind
            engine.image(first)
        settings = docker_settings.model_copy(update={"image": image})
        async with settings.build() as sandboxes:
            with pytest.raises(SandboxUnavailable, match="cannot protect its worker") as caught:
                await sandboxes.probe()
            assert "libpython3-stdlib" in (caught.value.hint or "")
    finally:
        engine._client.remove_image(image)


# --- starts that fail otherwise -----------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"OSType": "linux"}, {}, {"Config": None}])
async def test_an_engine_that_answers_as_none_does_is_refused(
    docker_settings: DockerSandboxConfig, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr(Engine, "image", lambda *_: answer)
    async with docker_settings.build() as sandboxes:
        with pytest.raises(SandboxUnavailable, match="answered as none does") as caught:
            await sandboxes.probe()
        assert caught.value.hint == "docker version"


async def test_without_descriptors_a_container_is_refused_and_later_there(
    docker_settings: DockerSandboxConfig,
) -> None:
    async with docker_settings.build() as sandboxes:
        async with sandboxes.lease():
            for spare in (0, 1, 2):
                with few_descriptors(spare), pytest.raises(SandboxUnavailable) as caught:
                    await sandboxes._backend.start(exec_slots=sandboxes._exec_slots)
                assert "Too many open files" in str(caught.value)
                assert "ulimit -n" in (caught.value.hint or "")
        async with sandboxes.lease(fresh=True) as sandbox:
            assert (await sandbox.python("print(1)")).stdout == b"1\n"
