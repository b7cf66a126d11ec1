"""A real vLLM among the engines that are measured."""

from pathlib import Path

import pytest

from agentgym.bench.engine import Case, bench_engines
from agentgym.bench.engine_sides import open_engines, parse_engine, tiny_model, vocabulary_of

pytestmark = [pytest.mark.vllm, pytest.mark.soak]


# vLLM leaves a context of ZeroMQ to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_vllm_plays_the_same_cases_as_local(tmp_path: Path) -> None:
    case = Case("turns", groups=2, size=2, prompt=6, sampled=3, turns=2, told=4)
    model = tiny_model(tmp_path / "model", max_context=64)
    configs = {text: parse_engine(text) for text in ("local", "vllm,kv_cache_gib=1")}
    async with open_engines(configs, model) as engines:
        vocabulary = vocabulary_of(model)
        rows = [r async for r in bench_engines(engines, [case], rounds=1, vocabulary=vocabulary)]
    assert [row.engine for row in rows] == [*configs]
    assert all(row.tokens_per_second > 0 for row in rows)
