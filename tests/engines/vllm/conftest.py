"""One vLLM for all tests of this folder that do not need another; a start takes long."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from engine_conformance import Subject, base, make_model
from vllm_engines import CONFIG, loaded

__all__ = ["base"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="session")
def model(folder: Path) -> Any:
    """Tied, and with biases."""
    return make_model(folder, "qwen2", tied=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_engine(folder: Path, model: Any) -> AsyncIterator[Any]:
    engine = CONFIG.build(loaded(folder))
    await engine.start()
    yield engine
    await engine.close()


@pytest_asyncio.fixture(loop_scope="session")
async def subject(session_engine: Any, model: Any) -> Subject:
    await session_engine.load_weights(model.state_dict(), version=0)
    return Subject(session_engine, model)
