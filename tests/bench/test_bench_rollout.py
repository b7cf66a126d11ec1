import asyncio
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.bench import rollout
from agentgym.bench.engine_sides import tiny_model
from agentgym.bench.rollout import Rate, bench_rollouts
from agentgym.bench.rollout_engine import LONGEST, SHORTEST, Metered, Request, length_of
from agentgym.bench.rollout_env import WaitingConfig
from agentgym.bench.rollout_modes import MODES, Play, endless_jobs
from agentgym.bench.rollout_overhead import bench_overhead
from agentgym.engine import Engine
from agentgym.engines.model import load_model
from agentgym.errors import AgentGymError, ConfigError, EngineError
from agentgym.renderer import Renderer
from agentgym.renderers.chat import ChatRendererConfig
from agentgym.store.episodes import read_episodes
from agentgym.types import Completion, derive_seed

QUICK = WaitingConfig(turns=3, mean_s=0.002)


class Noting(Engine):
    """Notes what it is asked for, and samples at some pace, never a token of control."""

    max_context = 1024

    def __init__(self, *, breaks: bool = False) -> None:
        self.asked: dict[str | None, list[tuple[int, int]]] = defaultdict(list)
        self.released: set[str] = set()
        self.most = self._under_way = 0
        self._breaks = breaks

    async def generate(self, token_ids, sampling, *, seed, stop=(), session=None) -> Completion:
        assert not stop
        if self._breaks:
            raise EngineError("it is broken")
        self.asked[session].append((len(token_ids), sampling.max_tokens))
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            await asyncio.sleep(sampling.max_tokens * 1e-4)
        finally:
            self._under_way -= 1
        count = sampling.max_tokens
        return Completion(token_ids=(50,) * count, logprobs=(0.0,) * count, finish_reason="length")

    async def release(self, session: str) -> None:
        self.released.add(session)

    async def load_weights(self, source, *, version) -> None: ...


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    model = tiny_model(tmp_path_factory.mktemp("bench") / "model", max_context=64)
    return ChatRendererConfig().build(load_model(model, with_module=False).tokenizer)


@pytest.mark.parametrize("mode", MODES)
async def test_all_modes_ask_for_the_same(mode: str, renderer: Renderer, tmp_path: Path) -> None:
    engine = Noting()
    meter = Metered(engine, clock=asyncio.get_running_loop().time, salt=f"-{mode}")
    play = Play(engine=meter, renderer=renderer, env=QUICK, streams=4, folder=tmp_path)
    told = iter([False] * 16)
    jobs = list(endless_jobs(run_seed=5, salt=f"-{mode}", is_over=lambda: next(told, True)))
    assert len(jobs) == 16
    await MODES[mode](jobs, play)
    lengths = sorted(tuple(most for _, most in asked) for asked in engine.asked.values())
    assert lengths == sorted(
        tuple(length_of(derive_seed(job.seed, turn)) for turn in range(QUICK.turns)) for job in jobs
    )
    assert len(set(lengths)) == len(jobs)
    grown = {
        after - before - most
        for asked in engine.asked.values()
        for (before, most), (after, _) in pairwise(asked)
    }
    assert len(grown) == 1
    assert min(grown) > 0
    assert engine.released == set(engine.asked)
    assert sum(request.tokens for request in meter.requests) == sum(map(sum, lengths))
    if mode in ("raw", "lockstep", "async"):
        assert engine.most <= 4
    if mode in ("async", "scheduler"):
        assert len(list(read_episodes(tmp_path))) == 16


async def test_lengths_are_drawn_evenly_and_tools_are_slow_as_often_as_they_should() -> None:
    lengths = [length_of(derive_seed(n)) for n in range(5000)]
    assert (min(lengths), max(lengths)) == (SHORTEST, LONGEST)
    assert sum(lengths) / len(lengths) == pytest.approx(40, abs=1)
    waits = [rollout.WORKLOADS["longtail"].latency(n, n % 6) for n in range(5000)]
    slow = [wait for wait in waits if wait == 5.0]
    assert len(slow) / len(waits) == pytest.approx(0.05, abs=0.01)
    quick = [wait for wait in waits if wait != 5.0]
    assert sum(quick) / len(quick) == pytest.approx(0.2, abs=0.02)
    same = [rollout.WORKLOADS["exponential"].latency(n, n % 6) for n in range(5000)]
    assert sum(same) / len(same) == pytest.approx(0.2, abs=0.02)


def test_only_what_was_answered_in_the_window_counts() -> None:
    """A window from 10 to 20: 30 + 50 tokens, and 4 + 10 + 5 seconds of requests in ten."""
    requests = [
        Request(4, 9, 100),
        Request(9, 14, 30),
        Request(10, 20, 0),  # was given up
        Request(5, 10, 50),
        Request(15, 25, 60),
    ]
    assert rollout._rate(requests, 10, 20) == Rate(tokens=8.0, steps=0.2, requests=1.9)
    with pytest.raises(ConfigError, match="answered nothing in 2 s"):
        rollout._rate(requests, 11, 13)


async def test_modes_take_turns_and_ratios_are_those_of_single_rounds(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rollout.WORKLOADS, "exponential", QUICK)
    found = bench_rollouts(
        Noting(),
        renderer,
        workload="exponential",
        modes=("raw", "lockstep", "async"),
        rounds=3,
        seconds=0.1,
        streams=4,
        folder=tmp_path,
    )
    measured = [each async for each in found]
    assert [row.mode for row, _ in measured] == ["raw", "lockstep", "async"]
    raw = measured[0][1]
    for row, rates in measured:
        assert len(rates) == 3
        assert row.tokens_per_second == sorted(rate.tokens for rate in rates)[1]
        ratios = sorted(a.tokens / b.tokens for a, b in zip(rates, raw, strict=True))
        assert row.ratio_to_raw == ratios[1]
    assert measured[0][0].ratio_to_raw == 1.0
    assert all(rate.requests == pytest.approx(4, abs=0.4) for rate in raw)
    assert measured[1][0].ratio_to_raw < 0.95  # it waits for the slowest


async def test_a_broken_engine_ends_the_measurement(renderer: Renderer, tmp_path: Path) -> None:
    for mode in MODES:
        found = bench_rollouts(
            Noting(breaks=True),
            renderer,
            workload="exponential",
            modes=(mode,),
            rounds=1,
            seconds=5,
            streams=2,
            folder=tmp_path,
        )
        with pytest.raises((ExceptionGroup, AgentGymError)):
            _ = [each async for each in found]


def test_overhead_counts_steps_and_no_tokens(tmp_path: Path) -> None:
    raw, ours = bench_overhead(seconds=0.1, concurrency=32, folder=tmp_path / "overhead")
    assert (raw.workload, raw.mode, raw.tokens_per_second) == ("overhead", "raw", None)
    assert (ours.workload, ours.mode, ours.tokens_per_second) == ("overhead", "scheduler", None)
    assert raw.ratio_to_raw == 1.0
    assert ours.ratio_to_raw == pytest.approx(ours.steps_per_second / raw.steps_per_second)
    played = next(read_episodes(tmp_path / "overhead"))
    assert len(played.steps) == 20
    assert played.end == "terminated"
    assert (tmp_path / "overhead" / "metrics.jsonl").read_text().count("\n") >= 3
