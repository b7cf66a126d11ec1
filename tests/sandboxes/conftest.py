"""Real sandboxes for the tests; where a backend cannot work they are skipped, and say why."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentgym.errors import AgentGymError
from agentgym.sandbox import Sandbox
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine, NoSuchImage
from agentgym.sandboxes.docker.images import build
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.pool import Pool

TEST_IMAGE = "agentgym/test:latest"


@pytest.fixture(scope="session")
def local_settings() -> LocalSandboxConfig:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return LocalSandboxConfig(spares=0)


@pytest.fixture(scope="session")
def docker_settings() -> DockerSandboxConfig:
    """An engine that is running and an image made of what is installed here."""
    try:
        with Engine() as engine:
            _make_image(engine)
    except AgentGymError as error:
        pytest.skip(f"{error} (hint: {error.hint})")
    _check_engine()
    return DockerSandboxConfig(spares=0, image=TEST_IMAGE)


def _check_engine() -> None:
    """Skip where an engine answers and can run no container at all, not even without us."""
    words = ["docker", "run", "--rm", "--network", "none", TEST_IMAGE, "true"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"docker run: {error}")
    if done.returncode:
        pytest.skip(f"this engine runs no container: {done.stderr.strip()}")


def _make_image(engine: Engine) -> None:
    """Make it once, also when several processes run tests."""
    with open(Path(tempfile.gettempdir(), "agentgym-test-image.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            engine.image(TEST_IMAGE)
        except NoSuchImage:
            build(engine, TEST_IMAGE)


@pytest.fixture
async def sandboxes(local_settings: LocalSandboxConfig) -> AsyncIterator[Pool]:
    async with local_settings.build() as sandboxes:
        yield sandboxes


@pytest.fixture
async def sandbox(sandboxes: Pool) -> AsyncIterator[Sandbox]:
    async with sandboxes.lease() as sandbox:
        yield sandbox
