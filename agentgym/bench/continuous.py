"""Transformers' own continuous batching, in the place of an engine, to be measured beside ours.

For figures only: it takes no seed for each request, so that an episode cannot be drawn again.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from agentgym.engine import Engine, EngineConfig, Loaded, SamplingConfig, Weights
from agentgym.engines.quiet import quiet
from agentgym.errors import EngineError, MissingError
from agentgym.types import Completion

_CACHED_TOKENS = 2**17  # of which keys and values are kept; more than any case here needs
_PAGE = 256
_WAIT_S = 0.2


class ContinuousConfig(EngineConfig):
    """`ContinuousBatchingManager` of transformers, with its own settings."""

    needs_module: ClassVar[bool] = True
    name: str = "transformers"

    def build(self, loaded: Loaded, *, deterministic: bool = False) -> "ContinuousEngine":
        """Make the engine of a transformers causal language model."""
        return ContinuousEngine(loaded)


class ContinuousEngine(Engine):
    """Passes requests on, and hands the answers back from a thread."""

    def __init__(self, loaded: Loaded) -> None:
        self.max_context = loaded.max_context
        self._model = loaded.model
        self._manager: Any = None
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._listener: threading.Thread | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the manager; it keeps its cache until `close`."""
        if self._manager is not None:
            return
        try:
            from transformers import ContinuousBatchingConfig, GenerationConfig
        except ImportError as error:
            raise MissingError(
                f"transformers has no continuous batching here ({error})",
                hint="pip install 'transformers>=5.19'",
            ) from error
        with quiet():
            self._manager = self._model.init_continuous_batching(
                # No token ends a completion: every side samples the same number.
                GenerationConfig(do_sample=True, eos_token_id=-1, pad_token_id=0, top_k=0),
                ContinuousBatchingConfig(
                    page_size=_PAGE,
                    num_blocks=_CACHED_TOKENS // _PAGE,
                    return_logprobs=True,
                    seed=0,
                ),
            )
            self._manager.start()
        loop = asyncio.get_running_loop()
        self._listener = threading.Thread(target=self._listen, args=(loop,), daemon=True)
        self._listener.start()

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Sample `max_tokens`; seed, temperature, stop and session have no effect here."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        name = f"request-{id(future)}"
        self._waiting[name] = future
        self._manager.add_request(
            list(token_ids), request_id=name, max_new_tokens=sampling.max_tokens
        )
        found = await future
        if found.error is not None:
            raise EngineError(f"continuous batching of transformers: {found.error}")
        tokens = tuple(found.generated_tokens)
        return Completion(token_ids=tokens, logprobs=tuple(found.logprobs), finish_reason="length")

    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Do nothing: only speed is measured."""

    async def close(self) -> None:
        """Stop the manager."""
        self._closed = True
        if self._listener is not None:
            await asyncio.to_thread(self._listener.join)
            await asyncio.to_thread(self._manager.stop, block=True, timeout=30)
            self._manager = self._listener = None

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closed:
            found = self._manager.get_result(timeout=_WAIT_S)
            if found is not None and found.is_finished():
                loop.call_soon_threadsafe(self._settle, found)
            elif not self._manager.is_running():
                loop.call_soon_threadsafe(self._fail)
                return

    def _settle(self, found: Any) -> None:
        future = self._waiting.pop(found.request_id)
        if not future.done():
            future.set_result(found)

    def _fail(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineError("continuous batching of transformers ended"))
        self._waiting.clear()
