"""An engine that notes who asked it when, and samples as many tokens as each turn shall have."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentgym.engine import Engine, SamplingConfig, Weights
from agentgym.types import Completion, derive_seed

SHORTEST, LONGEST = 16, 64


class Request(NamedTuple):
    """Of one that was given up, `tokens` is 0; times are those of the clock of the loop."""

    began: float
    ended: float
    tokens: int


def length_of(seed: int) -> int:
    """Return how many tokens the request of a seed samples, the same in every mode."""
    return SHORTEST + seed % (LONGEST - SHORTEST + 1)


class Metered(Engine):
    """Passes requests on to an engine.

    Every request samples the number of tokens that its seed says, and no token ends it. What is
    sampled depends on `salt` too, so that no mode finds in a cache what another one asked for.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float], salt: str) -> None:
        self.max_context, self.slots = engine.max_context, engine.slots
        self.requests: list[Request] = []
        self._engine = engine
        self._clock = clock
        self._salt = salt

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Sample, and note when."""
        began, tokens = self._clock(), 0
        try:
            completion = await self._engine.generate(
                token_ids,
                sampling.model_copy(update={"max_tokens": length_of(seed)}),
                seed=derive_seed(seed, self._salt),
                session=f"{self._salt}-{session}",
            )
            tokens = len(completion.token_ids)
        finally:
            self.requests.append(Request(began, self._clock(), tokens))
        return completion

    async def release(self, session: str) -> None:
        """Forget a session of this mode."""
        await self._engine.release(f"{self._salt}-{session}")

    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Nobody trains here."""
        raise NotImplementedError
