"""The contract of an inference engine: token ids in, sampled token ids out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from agentgym.errors import EngineError
from agentgym.types import Completion

Weights = Mapping[str, Any] | Path | None
"""A state dict of tensors; a folder with safetensors of the same names; None: see `load_weights`."""


class SamplingConfig(BaseModel, extra="forbid", frozen=True):
    """How tokens are drawn.

    Log-probabilities are those of softmax(logits / temperature), in engine and trainer alike;
    top-k, top-p, min-p and penalties would make the two differ and do not exist here.
    """

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy; the log-probabilities are then those at temperature 1."""
    max_tokens: int = Field(default=128, ge=1)
    """Most tokens of one completion."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to use."""

    model: Any
    """A transformers causal language model, in eval mode; None where nobody here computes with it."""
    tokenizer: Any
    """Its transformers tokenizer."""
    folder: Path
    """What it was read from."""
    max_context: int
    """Most tokens of prompt and completion together."""
    dtype: str = "float32"
    """What it computes in: float32 or bfloat16."""


class Engine(ABC):
    """Generates completions for many callers at once. `start` comes first, `close` last."""

    version: int = 0
    """The policy version of the weights in use."""
    max_context: int
    """Most tokens of prompt and completion together."""
    slots: int | None = None
    """Requests that are decoded at once, known after `start`; more of them wait. None: any number."""

    async def start(self) -> None:
        """Get ready to generate, which may take minutes. Idempotent.

        Raises:
            MissingError, ConfigError: this engine cannot run here, or not this model.
            EngineError: it did not come up.
        """

    @abstractmethod
    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Sample until a token of `stop`, `max_tokens` or the end of the context.

        The same ids, weights, sampling and seed give the same completion in an engine that
        decodes one request at a time. `session` names the growing stream this request
        continues, so that an engine may keep its KV cache; it never changes the result.

        Raises:
            EngineError: the engine failed, or `token_ids` leave no room in the context.
        """

    async def release(self, session: str) -> None:
        """Forget what is kept for a session. Unknown sessions are ignored."""

    async def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Return [L - 1]: what the weights in use give to each id after the first, at temperature 1.

        By it a trainer finds out whether the engine holds the weights that it should.

        Raises:
            EngineError: as `generate`; or this engine cannot tell.
        """
        raise EngineError(
            f"{type(self).__name__} does not tell the log-probabilities of given tokens"
        )

    @abstractmethod
    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Take new weights between two decoding steps; kept caches are dropped.

        Requests under way lose no token: they go on with the new weights. None says that the
        weights in use are those of `version`: they are shared, or are the ones it began with.

        Raises:
            EngineError: the weights do not fit; those before stay in use, or nothing is generated.
        """

    async def pause(self) -> None:
        """Stop decoding; requests wait."""

    async def resume(self) -> None:
        """Go on decoding."""

    async def sleep(self) -> None:
        """Give the memory of weights and caches back, where that is possible; requests wait."""

    async def wake(self) -> None:
        """Take the memory again. The weights are undefined until `load_weights`."""

    def scalars(self) -> dict[str, float]:
        """Return what is worth watching, counted since the start: retries, refused completions."""
        return {}

    async def close(self) -> None:
        """Free everything. Idempotent."""


def largest_gap(found: Sequence[float], expected: Sequence[float]) -> float:
    """Return the largest difference of log-probabilities, in nats; NaN where one of them is NaN.

    >>> largest_gap((-1.0, -2.0), (-1.5, -2.0)), largest_gap((0.0, math.nan), (9.0, 0.0))
    (0.5, nan)
    """
    gaps = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    return math.nan if any(map(math.isnan, gaps)) else max(gaps)


class EngineConfig(BaseModel, ABC, extra="forbid", frozen=True):
    """What a user sets of an engine. Importing the file it stands in imports no torch."""

    needs_module: ClassVar[bool] = False
    """Whether it decodes with the module `Loaded.model` itself, which a trainer may then share."""
    name: str

    @abstractmethod
    def build(self, loaded: Loaded, *, deterministic: bool = False) -> Engine:
        """Make the engine of a model; what takes long is left to `start`.

        Args:
            loaded: the model; engines that read `loaded.folder` themselves leave `model` alone.
            deterministic: one request at a time, so that a seed gives the same tokens bit for bit.

        Raises:
            ConfigError: the engine cannot do what is asked.
        """
