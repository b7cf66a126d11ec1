"""The contract of an inference engine: token ids in, sampled token ids out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from agentgym.types import Completion


class SamplingConfig(BaseModel, extra="forbid", frozen=True):
    """How tokens are drawn.

    Log-probabilities are those of softmax(logits / temperature), in engine and trainer alike;
    top-k, top-p, min-p and penalties would make the two differ and do not exist here.
    """

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy; the log-probabilities are then those at temperature 1."""
    max_tokens: int = Field(default=128, ge=1)
    """Most tokens of one completion."""


class Engine(ABC):
    """Generates completions for many callers at once."""

    version: int = 0
    """The policy version of the weights in use."""
    max_context: int
    """Most tokens of prompt and completion together."""

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

    @abstractmethod
    async def load_weights(self, source: Any, *, version: int) -> None:
        """Take new weights between two decoding steps; kept caches are dropped.

        Raises:
            EngineError: the weights do not fit.
        """

    async def pause(self) -> None:
        """Stop decoding; requests wait."""

    async def resume(self) -> None:
        """Go on decoding."""

    async def close(self) -> None:
        """Free everything. Idempotent."""
