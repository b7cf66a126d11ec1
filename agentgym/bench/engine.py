"""Tokens a second of engines on the same model and the same requests, measured in turns."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agentgym.engine import Engine, SamplingConfig
from agentgym.errors import EngineError

_SEED = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Episodes that are played at once; each turn samples some tokens, and is told some."""

    name: str
    groups: int
    """Prompts, no two of them equal."""
    size: int = 1
    """Episodes that begin with the same prompt."""
    prompt: int = 64
    """Tokens of a prompt."""
    sampled: int = 64
    """Tokens sampled in a turn."""
    turns: int = 1
    told: int = 0
    """Tokens that the environment answers between two turns."""

    @property
    def tokens(self) -> int:
        """The length of an episode."""
        return self.prompt + self.turns * self.sampled + (self.turns - 1) * self.told


CASES = {
    case.name: case
    for case in (
        Case("batch-32", groups=32),
        Case("batch-128", groups=128),
        Case("turns", groups=16, sampled=20, turns=30, told=30),
        Case("prefill", groups=16, prompt=1500, sampled=16),
        Case("group", groups=2, size=8, prompt=1500, sampled=16),
    )
}
LONGEST = max(case.tokens for case in CASES.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    case: str
    engine: str
    tokens_per_second: float
    """Sampled tokens, prefill included in the time; the median over rounds."""
    low: float
    high: float
    """The slowest and the fastest round: the noise."""
    ratio: float
    """To the first engine: the median of the ratios of single rounds."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


async def bench_engines(
    engines: Mapping[str, Engine], cases: Sequence[Case], *, rounds: int, vocabulary: int
) -> AsyncIterator[Row]:
    """Yield the rows of each case, when all its rounds are done.

    In a round every engine plays the same episodes, one engine after the other, in both orders by
    turns. Each round has tokens of its own, so that no cache holds those of another; one round
    before the first is not counted.

    Raises:
        EngineError: an engine failed, or sampled another number of tokens than it should.
    """
    for case in cases:
        rates: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(rounds + 1):
            names = list(engines) if number % 2 else list(engines)[::-1]
            for name in names:
                rate = await _play(engines[name], case, round_=number, vocabulary=vocabulary)
                if number:
                    rates[name].append(rate)
        for row in _rows(case, rates):
            yield row


def _rows(case: Case, rates: Mapping[str, Sequence[float]]) -> list[Row]:
    first = next(iter(rates.values()))
    return [
        Row(
            case.name,
            name,
            statistics.median(found),
            min(found),
            max(found),
            statistics.median(ours / base for ours, base in zip(found, first, strict=True)),
        )
        for name, found in rates.items()
    ]


async def _play(engine: Engine, case: Case, *, round_: int, vocabulary: int) -> float:
    """Play all episodes of a case at once; return the tokens sampled in a second."""
    dice = np.random.default_rng((_SEED, round_))
    prompts = [dice.integers(0, vocabulary, case.prompt).tolist() for _ in range(case.groups)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(case.groups * case.size):
            told = np.random.default_rng((_SEED, round_, number))
            episode = _episode(
                engine, case, prompts[number // case.size], f"{case.name}-{round_}-{number}", told
            )
            group.create_task(episode)
    taken = time.perf_counter() - began
    return case.groups * case.size * case.turns * case.sampled / taken


async def _episode(
    engine: Engine, case: Case, prompt: Sequence[int], session: str, dice: np.random.Generator
) -> None:
    """Let a context grow turn by turn, as that of an episode."""
    sampling = SamplingConfig(max_tokens=case.sampled)
    context, most = list(prompt), max(prompt) + 1
    for _ in range(case.turns):
        seed = int(dice.integers(2**31))
        found = await engine.generate(context, sampling, seed=seed, session=session)
        if len(found.token_ids) != case.sampled:
            raise EngineError(
                f"{type(engine).__name__} sampled {len(found.token_ids)} tokens where "
                f"{case.sampled} were asked for"
            )
        context += [*found.token_ids, *dice.integers(0, most, case.told).tolist()]
    await engine.release(session)
