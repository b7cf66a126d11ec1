"""A real vLLM behind `agentgym serve`: one start, and everything that has to go through it."""

import asyncio
from pathlib import Path

import psutil
import pytest
import torch
from served_engine import Serving, serving

from agentgym.engine import Loaded, SamplingConfig
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig
from agentgym.errors import EngineError

pytestmark = pytest.mark.vllm

GAP = 1e-3  # nats
KEYS = ("engine.name=vllm", "engine.kv_cache_gib=1", "engine.max_batch=16")
SAMPLED = SamplingConfig(temperature=1, max_tokens=8)
PROMPT = [5, 6, 7, 8]


@torch.no_grad()
def expected(loaded: Loaded, ids: list[int]) -> torch.Tensor:
    """[L - 1], what the model itself gives to each id after the first."""
    logprobs = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return logprobs[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0]


def assert_close(found: tuple[float, ...], wanted: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found), wanted, atol=GAP, rtol=0)


async def use(server: Serving, loaded: Loaded) -> None:
    engine = server.engine(loaded)
    await engine.start()
    try:
        asked = [engine.generate([*PROMPT, n], SAMPLED, seed=n, session=f"{n}") for n in range(8)]
        for number, completion in enumerate(await asyncio.gather(*asked)):
            ids = [*PROMPT, number, *completion.token_ids]
            assert_close(completion.logprobs, expected(loaded, ids)[len(PROMPT) :])
            assert completion.versions == ((0, 0),)
        assert_close(await engine.logprobs(PROMPT), expected(loaded, PROMPT))
        with torch.no_grad():
            for each in loaded.model.parameters():
                each.add_(torch.randn_like(each) / 5)
        going = asyncio.create_task(engine.generate([9], SAMPLED, seed=1))
        await engine.load_weights(loaded.model.state_dict(), version=3)
        assert (await going).versions[-1][1] in (0, 3)
        assert_close(await engine.logprobs(PROMPT), expected(loaded, PROMPT))
        completion = await engine.generate(PROMPT, SAMPLED, seed=1)
        assert completion.versions == ((0, 3),)
        ids = [*PROMPT, *completion.token_ids]
        assert_close(completion.logprobs, expected(loaded, ids)[len(PROMPT) - 1 :])
        with pytest.raises(EngineError, match="do not fit"):
            await engine.load_weights({"x": torch.zeros(1)}, version=4)
        with pytest.raises(EngineError, match="a prompt of 64 tokens"):
            await engine.generate([1] * 64, SAMPLED, seed=0)
        assert_close(await engine.logprobs(PROMPT), expected(loaded, PROMPT))
        await engine.pause()
        waiting = asyncio.create_task(engine.generate(PROMPT, SAMPLED, seed=1))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await engine.resume()
        assert (await waiting).token_ids == completion.token_ids
    finally:
        await engine.close()


async def test_vllm_behind_http_does_as_in_process_and_leaves_no_process(tmp_path: Path) -> None:
    small = TinyConfig(layers=2, width=64, heads=2, max_context=64)
    config = ModelConfig(tiny=small, dtype="float32", device="cpu")
    loaded = load_model(config, folder=tmp_path / "model", texts=("one two three",), seed=3)
    with serving(tmp_path / "model", *KEYS, "model.dtype=float32") as server:
        await use(server, loaded)
        below = psutil.Process(server.process.pid).children(recursive=True)
        assert len(below) > 1
        server.process.kill()
        assert not psutil.wait_procs(below, timeout=10)[1]
