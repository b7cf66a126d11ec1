from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.bench.engine_sides import open_engines, parse_engine, tiny_model
from agentgym.bench.sync import bench_syncs
from agentgym.engines.local import LocalEngine
from agentgym.engines.model import load_model
from agentgym.trainers.policy import TrainerPolicy


@pytest.fixture
def policy_and_model(tmp_path: Path):
    model = tiny_model(tmp_path / "model", max_context=128)
    return TrainerPolicy(load_model(model).model), model


async def test_each_sync_brings_weights_that_the_engine_did_not_have(policy_and_model) -> None:
    policy, model = policy_and_model
    before = policy.logprobs((1, 2, 3))
    async with open_engines({"local": parse_engine("local")}, model) as engines:
        (row,) = await bench_syncs(engines, policy, rounds=3)
        assert engines["local"].version == 4
    assert row.gap < 1e-3
    assert 0 < row.low_s <= row.seconds <= row.high_s
    assert row.first_s > 0
    assert policy.logprobs((1, 2, 3)) != before


async def test_an_engine_that_keeps_old_weights_shows_a_gap(
    policy_and_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, model = policy_and_model

    async def forget(self, source, *, version) -> None: ...

    monkeypatch.setattr(LocalEngine, "load_weights", forget)
    async with open_engines({"local": parse_engine("local")}, model) as engines:
        (row,) = await bench_syncs(engines, policy, rounds=40)
    assert row.gap > 1e-3
