"""What the client makes of a server that is slow, broken, wrong or not there: success or one error."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_server import Answer, is_json
from engine_server import TOKEN, EngineServer, completes, goes_away, refuses

from agentgym.engine import Loaded, SamplingConfig
from agentgym.engines.served.client import ServedEngine
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.errors import AgentGymError, ConfigError, EngineError

TWO = SamplingConfig(temperature=1, max_tokens=2)
GOOD = completes()
Started = Callable[..., AbstractAsyncContextManager[tuple[EngineServer, ServedEngine]]]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_SERVER_TOKEN", TOKEN)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgym.rollout.openai.pace._BASE_S", 0.01)


@pytest.fixture
def started(loaded: Loaded) -> Started:
    @asynccontextmanager
    async def start(
        *answers: Answer, **keys: Any
    ) -> AsyncIterator[tuple[EngineServer, ServedEngine]]:
        with EngineServer(list(answers)) as server:
            server.describe(loaded)
            engine = server.engine(loaded, **{"patience_s": 2, "timeout_s": 1, **keys})
            await engine.start()
            yield server, engine
            await engine.close()

    return start


PASSING = {
    "429": refuses(429, "busy", Retry_After="0.05"),
    "503": refuses(503, "a replica restarts", Retry_After="0.05"),
    "502 of a proxy": Answer(502, b"<html><title>Bad Gateway</title></html>"),
    "504": Answer(504),
    "500": refuses(500, "the engine raised"),
    "500 without a word": Answer(500),
    "408": refuses(408, "the body took more than 60 s"),
    "connection closed": goes_away(),
    "truncated": Answer(200, b'{"token_ids": [5,', declared=400),
    "cut JSON": Answer(200, b'{"token_ids": [5,'),
    "a page": Answer(200, b"<html>welcome</html>"),
    "nothing": Answer(200, b""),
    "bytes": Answer(200, b"\xff\xfe\x00"),
    "deep": Answer(200, b"[" * 200_000),
    "null": is_json(None),
    "a list": is_json([1]),
    "another object": is_json({"choices": []}),
}
WRONG = {
    "fewer logprobs": completes(logprobs=[-0.5]),
    "more logprobs": completes(logprobs=[-0.5] * 3),
    "nan": completes(logprobs=[-0.5, math.nan]),
    "minus infinity": completes(logprobs=[-0.5, -math.inf]),
    "null logprob": completes(logprobs=[-0.5, None]),
    "positive logprob": completes(logprobs=[-0.5, 0.1]),
    "logprob as text": completes(logprobs=[-0.5, "-1"]),
    "no tokens": completes([], []),
    "negative id": completes([5, -1]),
    "id as a float": completes([5, 6.0]),
    "id as a truth": completes([5, True]),
    "id out of the vocabulary": completes([5, 100_000]),
    "huge id": completes([5, 1 << 80]),
    "more than asked": completes([5, 6, 7], [-0.5] * 3),
    "a stop token in the middle": completes([99, 99], finish_reason="stop"),
    "stop without a stop token": completes(finish_reason="stop"),
    "a stop token and length": completes([5, 99]),
    "unfinished": completes([5], [-0.5]),
    "aborted": completes(finish_reason="abort"),
    "no reason": completes(finish_reason=None),
    "no versions": completes(versions=[]),
    "versions from the middle": completes(versions=[[1, 0]]),
    "versions beyond the end": completes(versions=[[0, 0], [2, 1]]),
    "versions out of order": completes(versions=[[0, 0], [0, 1]]),
    "versions as text": completes(versions=[["0", "0"]]),
}


@pytest.mark.parametrize("bad", [*PASSING.values(), *WRONG.values()], ids=[*PASSING, *WRONG])
async def test_one_bad_answer_costs_a_retry(started: Started, bad: Answer) -> None:
    async with started(bad, GOOD) as (server, engine):
        found = await engine.generate([1, 2, 3], TWO, seed=4, stop=[99], session="é\n")
        assert found.token_ids == (5, 6)
        assert engine.scalars()["retries"] == 1
        assert server.asked[0].body == server.asked[1].body
        assert server.asked[0].headers["agentgym-session"].endswith("-%C3%A9%0A")


@pytest.mark.parametrize("bad", WRONG.values(), ids=WRONG)
async def test_answers_that_cannot_be_are_refused_and_counted(
    started: Started, bad: Answer
) -> None:
    async with started(bad) as (server, engine):
        with pytest.raises(
            EngineError, match=f"^{server.url}/generate gave no answer in 3"
        ) as told:
            await engine.generate([1, 2, 3], TWO, seed=4, stop=[99])
        assert "an answer that is none: " in str(told.value)
        assert told.value.hint
        assert engine.scalars()["refused_completions"] == 3


@pytest.mark.parametrize("status", [500, 501])
async def test_an_engine_that_keeps_failing_is_not_asked_for_long(
    started: Started, status: int
) -> None:
    async with started(refuses(status, "CUDA out of memory")) as (server, engine):
        with pytest.raises(EngineError, match=f"the last: status {status}: CUDA out of memory"):
            await engine.generate([1, 2, 3], TWO, seed=4)
        assert len(server.asked) == 3


@pytest.mark.parametrize("bad", [goes_away(), refuses(503, "x", Retry_After="0.2"), refuses(429)])
async def test_patience_ends(started: Started, bad: Answer) -> None:
    began = time.monotonic()
    async with started(bad, patience_s=0.5) as (_, engine):
        with pytest.raises(EngineError, match="gave no answer in"):
            await engine.generate([1, 2, 3], TWO, seed=4)
    assert time.monotonic() - began < 3


async def test_what_the_server_asks_to_wait_is_waited(started: Started) -> None:
    async with started(refuses(429, "busy", Retry_After="0.4"), GOOD) as (server, engine):
        await engine.generate([1, 2, 3], TWO, seed=4)
        assert 0.4 <= server.asked[1].at - server.asked[0].at < 1.4


@pytest.mark.parametrize(
    "slow",
    [
        Answer(200, GOOD.body, after_s=3),
        Answer(200, GOOD.body, drip_s=0.05),
        Answer(200, b"", declared=10),
    ],
    ids=["silent", "drips", "stops"],
)
async def test_a_server_that_takes_too_long_is_asked_again_and_then_given_up(
    started: Started, slow: Answer
) -> None:
    async with started(slow, GOOD, timeout_s=0.3) as (_, engine):
        assert (await engine.generate([1, 2, 3], TWO, seed=4)).token_ids == (5, 6)
    async with started(slow, timeout_s=0.3, patience_s=0.4) as (_, engine):
        with pytest.raises(EngineError, match=r"gave no answer in \d attempts?; the last: "):
            await engine.generate([1, 2, 3], TWO, seed=4)


async def test_a_refusal_is_told_in_the_words_of_the_server_and_not_repeated(
    started: Started,
) -> None:
    async with started(refuses(400, "a prompt of 9 tokens")) as (server, engine):
        with pytest.raises(EngineError, match=r"^a prompt of 9 tokens$"):
            await engine.generate([1] * 9, TWO, seed=4)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "error", "match"),
    [
        (401, ConfigError, "refuses the token"),
        (404, ConfigError, "is no server of `agentgym serve`"),
        (301, ConfigError, "is no server of `agentgym serve`"),
    ],
)
async def test_what_no_request_would_fare_better_with_is_an_error_of_the_configuration(
    started: Started, status: int, error: type[AgentGymError], match: str
) -> None:
    async with started(refuses(status, "no")) as (server, engine):
        with pytest.raises(error, match=match) as told:
            await engine.generate([1, 2, 3], TWO, seed=4)
        assert told.value.hint
        assert len(server.asked) == 1


async def test_completions_of_weights_before_those_in_use_are_refused(started: Started) -> None:
    old, new = completes(versions=[[0, 1]]), completes(versions=[[0, 1], [1, 2]])
    async with started(is_json({"version": 2}), old, new) as (_, engine):
        await engine.load_weights(None, version=2)
        assert (await engine.generate([1, 2], TWO, seed=0)).versions == ((0, 1), (1, 2))
        assert engine.scalars()["refused_completions"] == 1


async def test_a_completion_may_be_of_the_version_that_was_in_use_when_it_was_asked_for(
    started: Started,
) -> None:
    late = Answer(200, completes(versions=[[0, 0]]).body, after_s=0.3)
    async with started(late, is_json({})) as (_, engine):
        asked = asyncio.create_task(engine.generate([1, 2], TWO, seed=0))
        await asyncio.sleep(0.1)
        await engine.load_weights(None, version=1)
        assert (await asked).versions == ((0, 0),)
        assert engine.version == 1


async def test_weights_are_not_written_while_the_server_may_still_read_those_before(
    started: Started, loaded: Loaded
) -> None:
    async with started(is_json({})) as (server, engine):
        server.told["is_switching"] = True
        loading = asyncio.create_task(engine.load_weights({"x": torch.zeros(2)}, version=1))
        await asyncio.sleep(0.7)
        assert not server.asked
        server.told["is_switching"] = False
        await loading
        first = server.asked[0].body["folder"]
        server.told["weights"] = first
        await engine.load_weights({"x": torch.ones(2)}, version=2)
        assert server.asked[1].body["folder"] != first
        assert holds_weights(first)
    assert not holds_weights(first)


def holds_weights(folder: str) -> bool:
    return (Path(folder) / "model.safetensors").is_file()


async def test_scores_of_another_number_are_refused(started: Started) -> None:
    bad, good = is_json({"logprobs": [-1.0]}), is_json({"logprobs": [-1.0, -2.0]})
    async with started(bad, good) as (_, engine):
        assert await engine.logprobs([1, 2, 3]) == (-1.0, -2.0)


async def test_a_token_never_stands_in_an_error(started: Started) -> None:
    async with started(refuses(500, f"you sent {TOKEN}")) as (_, engine):
        with pytest.raises(EngineError) as told:
            await engine.generate([1, 2, 3], TWO, seed=4)
    assert TOKEN not in str(told.value)


async def test_many_requests_are_in_flight_at_once(loaded: Loaded) -> None:
    slow = Answer(200, GOOD.body, {"Content-Type": "application/json"}, after_s=0.5)
    with EngineServer([slow]) as server:
        server.describe(loaded)
        engine = server.engine(loaded)
        await engine.start()
        began = time.monotonic()
        await asyncio.gather(*[engine.generate([1, 2], TWO, seed=n) for n in range(64)])
        assert time.monotonic() - began < 8
        assert server.most_at_once > 32
        await engine.close()


async def test_a_server_that_still_starts_is_waited_for(loaded: Loaded) -> None:
    with EngineServer([GOOD]) as server:
        server.told = {"state": "starting", "replicas": []}
        engine = server.engine(loaded, patience_s=5)
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0.7)
        assert not starting.done()
        server.describe(loaded)
        await starting
        await engine.close()
        server.told = {"state": "restarting"}
        engine = server.engine(loaded, patience_s=0)
        with pytest.raises(EngineError, match="had no engine that was up within"):
            await engine.start()
        await engine.close()


async def test_no_server_at_all_is_one_clear_error(loaded: Loaded) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    config = ServedEngineConfig(url=url, token_env="ENGINE_SERVER_TOKEN", patience_s=0.3)
    engine = config.build(loaded)
    with pytest.raises(EngineError, match=f"^{url}/status gave no answer") as told:
        await engine.start()
    assert "agentgym serve" in str(told.value.hint)
    await engine.close()


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"protocol": 99}, "speaks protocol 99, this side 1"),
        ({"vocabulary": {"size": 7, "digest": "x"}}, "whose tokens are others"),
        ({"vocabulary": None}, "no vocabulary"),
        ({"max_context": 5}, "takes 5 tokens of context"),
        ({"max_context": None}, "takes None tokens of context"),
        ({"weights_dir": "/nowhere/at/all"}, "cannot be handed over"),
        ({"weights_dir": None}, "cannot be handed over"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, dict) else "",
)
async def test_a_server_of_another_kind_is_refused_at_the_start(
    loaded: Loaded, told: dict[str, Any], match: str
) -> None:
    with EngineServer([GOOD]) as server:
        server.describe(loaded, **told)
        engine = server.engine(loaded, patience_s=1)
        with pytest.raises(ConfigError, match=match) as error:
            await engine.start()
        assert error.value.hint
        await engine.close()


async def test_a_server_that_decodes_many_at_once_is_not_deterministic(loaded: Loaded) -> None:
    with EngineServer([GOOD]) as server:
        server.describe(loaded)
        config = ServedEngineConfig(url=server.url, token_env="ENGINE_SERVER_TOKEN")
        engine = config.build(loaded, deterministic=True)
        with pytest.raises(ConfigError, match="decodes many requests at once") as told:
            await engine.start()
        assert "--deterministic" in str(told.value.hint)
        await engine.close()


@pytest.mark.parametrize("url", ["", "localhost:8100", "ftp://x", "http://", "http://[::1", "/x"])
def test_what_is_no_url_is_refused(loaded: Loaded, url: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.url is"):
        ServedEngineConfig(url=url, token_env="ENGINE_SERVER_TOKEN").build(loaded)
