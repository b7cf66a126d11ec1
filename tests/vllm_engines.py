"""What engines of vLLM the tests start."""

from pathlib import Path

import pytest
from engine_conformance import MAX_CONTEXT

from agentgym.engine import Loaded
from agentgym.engines.vllm.settings import VllmEngineConfig

MARKS = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
]
CONFIG = VllmEngineConfig(kv_cache_gib=1, max_batch=64)


def loaded(folder: Path) -> Loaded:
    return Loaded(None, None, folder, MAX_CONTEXT)
