"""Every test here is asked of every backend. Sandboxes are used again, verified clean."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agentgym.sandbox import Sandbox
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.pool import Pool


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of a module in one event loop, so that they can share its sandboxes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.fixture(scope="module", params=["local", "docker"])
def backend(request: pytest.FixtureRequest) -> AnySandbox:
    settings: AnySandbox = request.getfixturevalue(f"{request.param}_settings")
    return settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxes(backend: AnySandbox) -> AsyncIterator[Pool]:
    async with backend.build() as sandboxes:
        yield sandboxes


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(sandboxes: Pool) -> AsyncIterator[Sandbox]:
    async with sandboxes.lease() as sandbox:
        yield sandbox
