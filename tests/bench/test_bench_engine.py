from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.bench.continuous import ContinuousConfig
from agentgym.bench.engine import CASES, LONGEST, Case, bench_engines
from agentgym.bench.engine_sides import open_engines, parse_engine, tiny_model, vocabulary_of
from agentgym.engine import Engine, SamplingConfig
from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.settings import ModelConfig
from agentgym.errors import ConfigError, EngineError
from agentgym.types import Completion

SMALL = (
    Case("one", groups=2, prompt=6, sampled=3),
    Case("many", groups=1, size=3, prompt=5, sampled=2, turns=3, told=4),
)


class Counting(Engine):
    """Notes what it is asked for."""

    max_context = 100

    def __init__(self, short: int = 0) -> None:
        self.asked: list[tuple[str | None, tuple[int, ...], int]] = []
        self.released: list[str] = []
        self._short = short

    async def generate(self, token_ids, sampling, *, seed, stop=(), session=None) -> Completion:
        assert not stop
        self.asked.append((session, tuple(token_ids), seed))
        count = sampling.max_tokens - self._short
        return Completion(token_ids=(1,) * count, logprobs=(0.0,) * count, finish_reason="length")

    async def release(self, session: str) -> None:
        self.released.append(session)

    async def load_weights(self, source, *, version) -> None: ...


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return tiny_model(tmp_path_factory.mktemp("bench") / "model", max_context=64)


async def test_every_engine_is_asked_the_same_and_no_round_repeats_another() -> None:
    engines = {"a": Counting(), "b": Counting()}
    rows = [row async for row in bench_engines(engines, SMALL, rounds=2, vocabulary=50)]
    assert [(row.case, row.engine) for row in rows] == [
        ("one", "a"),
        ("one", "b"),
        ("many", "a"),
        ("many", "b"),
    ]
    assert sorted(engines["a"].asked) == sorted(engines["b"].asked)
    assert len(engines["a"].asked) == 3 * (2 + 3 * 3)  # one round is not counted
    assert len({ids for _, ids, _ in engines["a"].asked}) == 3 * 2 + 3 * (1 + 3 * 2)
    assert len(engines["a"].released) == 3 * (2 + 3)
    for row in rows:
        assert row.low <= row.tokens_per_second <= row.high
        assert row.ratio > 0
    assert [row.ratio for row in rows if row.engine == "a"] == [1.0, 1.0]


async def test_a_context_grows_by_what_was_sampled_and_told() -> None:
    engine = Counting()
    _ = [row async for row in bench_engines({"a": engine}, SMALL[1:], rounds=1, vocabulary=50)]
    turns = [ids for session, ids, _ in engine.asked if session == "many-1-2"]
    assert [len(ids) for ids in turns] == [5, 5 + 2 + 4, 5 + 2 * (2 + 4)]
    assert turns[2][:11] == turns[1]
    assert turns[1][5:7] == (1, 1)
    assert len(turns[2]) + 2 == SMALL[1].tokens


async def test_an_engine_that_samples_less_is_no_faster() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        _ = [r async for r in bench_engines({"a": Counting(1)}, SMALL, rounds=1, vocabulary=50)]
    assert caught.group_contains(EngineError, match="sampled 2 tokens where 3 were asked for")


def test_the_cases_fit_the_model_that_is_made() -> None:
    assert LONGEST == CASES["turns"].tokens == 64 + 30 * 20 + 29 * 30


def test_engines_are_named_as_in_a_configuration() -> None:
    assert parse_engine("local") == LocalEngineConfig()
    assert parse_engine("local,max_batch=8,max_sessions=9").max_batch == 8
    assert parse_engine("served:local,max_batch=8") == LocalEngineConfig(max_batch=8)
    assert isinstance(parse_engine("served"), ServedEngineConfig)
    assert isinstance(parse_engine("transformers"), ContinuousConfig)
    for text, told in {
        "lokal": "unknown engine 'lokal'",
        "local,max_bach=8": "unknown key `engine.max_bach`",
        "": "unknown engine ''",
    }.items():
        with pytest.raises(ConfigError, match=told):
            parse_engine(text)


async def test_transformers_and_ours_play_the_same_cases(model: ModelConfig) -> None:
    configs = {text: parse_engine(text) for text in ("local", "transformers")}
    async with open_engines(configs, model) as engines:
        vocabulary = vocabulary_of(model)
        rows = [r async for r in bench_engines(engines, SMALL, rounds=1, vocabulary=vocabulary)]
        found = await engines["transformers"].generate([5, 6], SamplingConfig(max_tokens=4), seed=0)
    assert len(rows) == 4
    assert len(found.token_ids) == len(found.logprobs) == 4
    assert all(logprob < 0 for logprob in found.logprobs)


@pytest.mark.slow
async def test_a_server_is_started_for_an_engine_and_ended(model: ModelConfig) -> None:
    configs = {"served:local": parse_engine("served:local,max_batch=4")}
    async with open_engines(configs, model) as engines:
        rows = [r async for r in bench_engines(engines, SMALL, rounds=1, vocabulary=50)]
    assert [row.engine for row in rows] == ["served:local"] * 2


@pytest.mark.slow
async def test_a_server_that_does_not_start_is_an_error(model: ModelConfig, tmp_path: Path) -> None:
    gone = model.model_copy(update={"path": str(tmp_path / "gone")})
    with pytest.raises(EngineError, match="agentgym serve ended with"):
        async with open_engines({"served:local": LocalEngineConfig()}, gone):
            pass
