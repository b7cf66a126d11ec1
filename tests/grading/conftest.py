"""Real sandboxes for the tests; without bubblewrap they are skipped, and say so."""

import shutil
from collections.abc import AsyncIterator

import pytest

from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.sandboxes.pool import Pool


@pytest.fixture
async def sandboxes() -> AsyncIterator[Pool]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    async with LocalSandboxConfig(spares=0).build() as sandboxes:
        yield sandboxes
