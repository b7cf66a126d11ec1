"""A sampled token is never anything but itself, however long the episode, on a real vLLM."""

import pytest
from long_episodes import Found, load_chatty, play

from agentgym.engines.vllm.settings import VllmEngineConfig

pytestmark = pytest.mark.vllm


async def found_in(num_tokens: int, folder) -> Found:
    loaded = load_chatty(folder)
    engine = VllmEngineConfig(kv_cache_gib=1).build(loaded)
    await engine.start()
    try:
        return await play(engine, loaded, num_tokens=num_tokens)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "num_tokens", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)], ids=["", "million"]
)
async def test_tokens_stay_what_they_were_over_thirty_turns(tmp_path, num_tokens):
    found = await found_in(int(1.1 * num_tokens), tmp_path / "model")
    print(found)  # noqa: T201  the figures, for those who ask with -s
    assert found.sampled >= num_tokens
    assert found.drift == 0
    assert found.misread > 0.5  # so that tokenising again would have been seen
    assert found.gap < 1e-3
