"""The engine `vllm`, really running, does what every engine must."""

from engine_conformance import EngineConformance
from vllm_engines import MARKS

pytestmark = MARKS


class TestVllm(EngineConformance):
    """All of it."""
