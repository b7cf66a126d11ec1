"""The engine `local` does what every engine must."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engine_conformance import MAX_CONTEXT, EngineConformance, Subject, base, make_model

from agentgym.engine import Loaded
from agentgym.engines.local import LocalEngineConfig

__all__ = ["base"]


@pytest.fixture(params=["llama-tied", "qwen3-untied"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    kind, _, tied = request.param.partition("-")
    model = make_model(tmp_path / "model", kind, tied=tied == "tied")
    # Its own module: the engine writes into the one that it is given.
    loaded = Loaded(
        make_model(tmp_path / "same", kind, tied=tied == "tied"), None, tmp_path, MAX_CONTEXT
    )
    engine = LocalEngineConfig(max_batch=32, max_sessions=32).build(loaded)
    yield Subject(engine, model)
    await engine.close()


class TestLocal(EngineConformance):
    """All of it."""
