"""A sampled token is never anything but itself, however long the episode."""

import pytest
from long_episodes import load_chatty, play

from agentgym.engines.local import LocalEngineConfig


@pytest.mark.slow
async def test_tokens_stay_what_they_were_over_thirty_turns(tmp_path):
    loaded = load_chatty(tmp_path / "model")
    engine = LocalEngineConfig(max_batch=16, max_sessions=32).build(loaded)
    found = await play(engine, loaded, num_tokens=20_000)
    await engine.close()
    assert found.sampled > 15_000
    assert found.drift == 0
    assert found.misread > 0.5  # so that tokenising again would have been seen
    assert found.gap < 1e-3
