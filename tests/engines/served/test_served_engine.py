"""The client and real replicas of the engine `local`, against that engine in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import torch
from served_engine import Serving, wait_until

from agentgym.engine import Loaded, SamplingConfig
from agentgym.engines.local import LocalEngine, LocalEngineConfig
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.served.client import ServedEngine
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.tiny import TinyConfig
from agentgym.errors import ConfigError, EngineError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("served")]

SAMPLED = SamplingConfig(temperature=1, max_tokens=12)
PROMPT = [5, 6, 7]


@pytest.fixture
async def engine(server: Serving, loaded: Loaded) -> AsyncIterator[ServedEngine]:
    engine = server.engine(loaded)
    await engine.start()
    await engine.load_weights(loaded.model.state_dict(), version=0)
    yield engine
    await engine.close()


@pytest.fixture
async def local(loaded: Loaded) -> AsyncIterator[LocalEngine]:
    engine = LocalEngineConfig().build(loaded, deterministic=True)
    yield engine
    await engine.close()


def changed(loaded: Loaded, by: float) -> dict[str, torch.Tensor]:
    return {name: tensor + by for name, tensor in loaded.model.state_dict().items()}


async def test_completions_and_scores_are_those_of_the_engine_behind(
    engine: ServedEngine, local: LocalEngine
) -> None:
    for seed in range(5):
        prompt = [seed + 3, *PROMPT]
        expected = await local.generate(prompt, SAMPLED, seed=seed)
        assert await engine.generate(prompt, SAMPLED, seed=seed, session=f"s{seed}") == expected
    ids = [*PROMPT, *expected.token_ids]
    assert await engine.logprobs(ids) == await local.logprobs(ids)
    stopping = await local.generate(PROMPT, SAMPLED, seed=0, stop=expected.token_ids)
    assert await engine.generate(PROMPT, SAMPLED, seed=0, stop=expected.token_ids) == stopping


async def test_a_completion_ends_with_the_context(engine: ServedEngine) -> None:
    long = list(range(3, 93))
    found = await engine.generate(long, SAMPLED, seed=0)
    assert len(found.token_ids) == engine.max_context - len(long)
    assert found.finish_reason == "length"


@pytest.mark.parametrize("prompt", [[], list(range(96)), [1, 100_000]], ids=str)
async def test_what_cannot_be_asked_is_refused_in_the_words_of_the_engine(
    engine: ServedEngine, local: LocalEngine, prompt: list[int]
) -> None:
    with pytest.raises(EngineError) as here:
        await local.generate(prompt, SAMPLED, seed=0)
    with pytest.raises(EngineError) as there:
        await engine.generate(prompt, SAMPLED, seed=0)
    assert str(there.value) == str(here.value)
    assert engine.scalars()["retries"] == 0


async def test_weights_reach_every_replica(
    engine: ServedEngine, server: Serving, local: LocalEngine, loaded: Loaded
) -> None:
    before = await engine.logprobs([*PROMPT, 8, 9])
    weights = changed(loaded, 0.1)
    await engine.load_weights(weights, version=4)
    await local.load_weights(weights, version=4)
    expected = await local.logprobs([*PROMPT, 8, 9])
    assert expected != before
    found = [await engine.generate(PROMPT, SAMPLED, seed=1, session=f"w{n}") for n in range(4)]
    assert found == [await local.generate(PROMPT, SAMPLED, seed=1)] * 4
    assert found[0].versions == ((0, 4),)
    assert await engine.logprobs([*PROMPT, 8, 9]) == expected
    assert all(each["sessions"] > 0 for each in server.status()["replicas"])
    await engine.load_weights(None, version=5)
    assert engine.version == server.status()["version"] == 5
    assert await engine.logprobs([*PROMPT, 8, 9]) == expected


async def test_weights_that_do_not_fit_are_refused_by_all_and_those_before_stay(
    engine: ServedEngine, server: Serving
) -> None:
    before = await engine.generate(PROMPT, SAMPLED, seed=1)
    with pytest.raises(EngineError, match="do not fit the model: unknown \\['x'\\]"):
        await engine.load_weights({"x": torch.zeros(2)}, version=9)
    assert engine.scalars()["retries"] == 0
    assert await engine.generate(PROMPT, SAMPLED, seed=1) == before
    status = server.status()
    assert status["version"] == engine.version == 0
    assert [each["state"] for each in status["replicas"]] == ["up", "up"]


async def test_the_folder_in_use_is_never_written_to(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    used: list[Path] = []
    for version in range(1, 4):
        before = used[-1:] and (used[-1] / "model.safetensors").read_bytes()
        await engine.load_weights(changed(loaded, version / 10), version=version)
        used.append(Path(server.status()["weights"]))
        if before:
            assert (used[-2] / "model.safetensors").read_bytes() == before
    assert used[0] != used[1]
    assert used[0] == used[2]


async def test_a_session_stays_where_its_cache_is_and_new_ones_are_spread(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    other = server.engine(loaded)
    await other.start()
    before = [each["sessions"] for each in server.status()["replicas"]]
    for _ in range(3):
        for client in (engine, other):
            for number in range(4):
                await client.generate(PROMPT, SAMPLED, seed=0, session=f"sticky-{number}")
    after = [each["sessions"] for each in server.status()["replicas"]]
    assert sum(after) - sum(before) == 8  # two clients may call their sessions alike
    assert abs(after[0] - after[1]) <= 1
    for client in (engine, other):
        for number in range(4):
            await client.release(f"sticky-{number}")
    assert [each["sessions"] for each in server.status()["replicas"]] == before
    await other.close()


async def test_requests_wait_while_paused_and_lose_nothing(
    engine: ServedEngine, local: LocalEngine, server: Serving
) -> None:
    expected = [await local.generate([*PROMPT, n], SAMPLED, seed=n) for n in range(6)]
    await engine.pause()
    asked = [
        asyncio.create_task(engine.generate([*PROMPT, n], SAMPLED, seed=n, session=f"p{n}"))
        for n in range(6)
    ]
    await asyncio.to_thread(wait_until, lambda: server.status()["in_flight"] == 6)
    assert not any(each.done() for each in asked)
    await engine.resume()
    assert await asyncio.gather(*asked) == expected


async def test_who_gives_a_request_up_ends_it_on_the_server(
    engine: ServedEngine, server: Serving
) -> None:
    await engine.pause()
    asked = asyncio.create_task(engine.generate(PROMPT, SAMPLED, seed=0))
    await asyncio.to_thread(wait_until, lambda: server.status()["in_flight"] == 1)
    asked.cancel()
    await asyncio.to_thread(wait_until, lambda: server.status()["in_flight"] == 0)
    await engine.resume()


async def test_a_pause_ends_by_itself_where_its_holder_has_gone(
    engine: ServedEngine, server: Serving
) -> None:
    assert server.ask("POST", "/pause", json={"holder": "x", "lease_s": 2}).status_code == 200
    assert server.status()["mode"] == "paused"
    found = await asyncio.wait_for(engine.generate(PROMPT, SAMPLED, seed=0), 10)
    assert found.token_ids
    assert server.status()["mode"] == "running"


async def test_sleepers_wake_with_the_weights_that_were_in_use(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    await engine.load_weights(changed(loaded, 0.2), version=6)
    before = await engine.logprobs([*PROMPT, 8])
    await engine.sleep()
    assert server.status()["mode"] == "asleep"
    with pytest.raises(EngineError, match="asleep"):
        await engine.load_weights(changed(loaded, 0.3), version=7)
    await engine.wake()
    assert await engine.logprobs([*PROMPT, 8]) == before


async def test_whoever_leaves_while_weights_are_loaded_finds_them_in_use(
    engine: ServedEngine, server: Serving, loaded: Loaded
) -> None:
    loading = asyncio.create_task(engine.load_weights(changed(loaded, 0.4), version=8))
    await asyncio.sleep(0.05)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    found = await asyncio.wait_for(engine.generate(PROMPT, SAMPLED, seed=0), 10)
    assert found.versions[-1][1] in (0, 8)
    assert server.status()["mode"] == "running"


async def assert_refuses_to_start(engine: ServedEngine, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        await engine.start()
    await engine.close()


async def test_another_model_is_refused_at_the_start(
    server: Serving, loaded: Loaded, tmp_path: Path
) -> None:
    small = TinyConfig(layers=1, width=32, heads=2, max_context=96)
    other = load_model(ModelConfig(tiny=small), folder=tmp_path / "other", texts=("other words",))
    await assert_refuses_to_start(server.engine(other), "whose tokens are others than those of")
    longer = Loaded(None, loaded.tokenizer, loaded.folder, 4096)
    await assert_refuses_to_start(
        server.engine(longer), "takes 96 tokens of context, and 4096 are wanted"
    )


async def test_folders_that_only_one_side_sees_are_refused_at_the_start(
    server: Serving, loaded: Loaded, tmp_path: Path
) -> None:
    await assert_refuses_to_start(
        server.engine(loaded, weights_dir=str(tmp_path / "nowhere")), "cannot be handed over"
    )
    answer = server.ask("POST", "/sees", json={"file": "/etc/passwd", "digest": "0" * 64})
    assert answer.status_code == 400


async def test_a_wrong_token_is_one_clear_error(
    server: Serving, loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("wrong-wrong-wrong-wrong")
    config = ServedEngineConfig(url=server.url, token_file=str(tmp_path / "token"))
    await assert_refuses_to_start(config.build(loaded), "refuses the token")
    monkeypatch.delenv("AGENTGYM_SERVE_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="AGENTGYM_SERVE_TOKEN is not set"):
        ServedEngineConfig(url=server.url).build(loaded)


BODY = {"token_ids": PROMPT, "temperature": 1, "max_tokens": 2, "seed": 0}


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "said"),
    [
        ("POST", "/generate", b"{", {}, 400, "malformed"),
        ("POST", "/generate", b"[" * 100_000, {}, 400, "malformed"),
        ("POST", "/generate", json.dumps(BODY | {"top_k": 5}).encode(), {}, 400, "top_k"),
        ("POST", "/generate", json.dumps(BODY | {"seed": -1}).encode(), {}, 400, "seed"),
        ("POST", "/generate", json.dumps(BODY | {"token_ids": [True]}).encode(), {}, 400, "[0]"),
        ("POST", "/generate", json.dumps(BODY | {"token_ids": [1 << 70]}).encode(), {}, 400, "[0]"),
        ("POST", "/generate", b" " * (17 << 20), {}, 413, "at most 16 MiB"),
        ("POST", "/generate", b"{}", {"agentgym-session": "s" * 300}, 400, "256 characters"),
        ("POST", "/weights", b'{"folder": "/nowhere", "version": 1}', {}, 400, "/nowhere"),
        ("POST", "/weights", b'{"folder": null, "version": "x"}', {}, 400, "version"),
        ("POST", "/pause", b'{"holder": "h", "lease_s": 1e9}', {}, 400, "lease_s"),
        ("GET", "/nothing", b"", {}, 404, "there is no GET /nothing"),
        ("GET", "/generate", b"", {}, 405, "there is no GET /generate"),
    ],
)
async def test_hostile_requests_get_a_reason_and_change_nothing(
    server: Serving,
    method: str,
    path: str,
    content: bytes,
    headers: dict[str, str],
    status: int,
    said: str,
) -> None:
    before = server.status()
    answer = server.ask(method, path, content=content, headers=headers)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True)
    after = server.status()
    assert (after["version"], after["weights"]) == (before["version"], before["weights"])
    assert [each["state"] for each in after["replicas"]] == ["up", "up"]


@pytest.mark.parametrize("path", ["/status", "/generate", "/weights", "/sees", "/x"])
def test_nobody_is_answered_without_the_token(server: Serving, path: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {server.token}x"}, {"Authorization": "Basic a"}):
        answer = httpx.post(f"{server.url}{path}", headers=headers, content=b"{}")
        assert answer.status_code == 401
        assert answer.json()["kind"] == "token"
    assert server.token_file.stat().st_mode & 0o777 == 0o600
