"""The engine `vllm`, really running, does what every engine must."""

import pytest
from engine_conformance import EngineConformance
from vllm_engines import MARKS

pytestmark = [*MARKS, pytest.mark.xdist_group("one vLLM")]


class TestVllm(EngineConformance):
    """All of it."""
