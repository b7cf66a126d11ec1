"""The engine `vllm`, really running, does what every engine must."""

import pytest
from engine_conformance import EngineConformance

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="session")]


class TestVllm(EngineConformance):
    """All of it."""
