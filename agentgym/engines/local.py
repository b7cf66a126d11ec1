"""The engine `local`: a transformers model in this process, decoding for all episodes at once."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field

from agentgym.engine import Engine, EngineConfig, Loaded, SamplingConfig, Weights
from agentgym.engines.prompt import check_prompt
from agentgym.errors import AgentGymError, EngineError
from agentgym.types import Completion

T = TypeVar("T")


class LocalEngineConfig(EngineConfig):
    """How a model of this process decodes."""

    needs_module: ClassVar[bool] = True
    name: Literal["local"] = "local"
    max_batch: int = Field(default=128, ge=1)
    """Most completions decoded at once."""
    max_sessions: int = Field(default=256, ge=1)
    """Most episodes whose keys and values are kept, `max_batch` at least: the memory it takes."""

    def build(self, loaded: Loaded, *, deterministic: bool = False) -> "LocalEngine":
        """Make the engine of a transformers causal language model."""
        return LocalEngine(
            loaded.model,
            max_context=loaded.max_context,
            max_batch=self.max_batch,
            max_sessions=self.max_sessions,
            deterministic=deterministic,
        )


class LocalEngine(Engine):
    """Decodes on one thread of its own, so that the event loop stays free.

    `deterministic` decodes one request at a time and keeps nothing between requests: a
    completion then depends, bit for bit, on its own ids, seed and the weights only. Otherwise
    the tokens drawn are the same up to the rounding that comes with the batch.

    New weights do not wait for requests under way; these go on with the new weights, their
    context computed anew, and their completions name both versions.
    """

    def __init__(
        self,
        model: Any,
        *,
        max_context: int,
        max_batch: int = 128,
        max_sessions: int = 256,
        deterministic: bool = False,
    ) -> None:
        from agentgym.engines.decoder import Decoder

        self.version = 0
        self.max_context = max_context
        self.slots = 1 if deterministic else max_batch
        self._vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self._deterministic = deterministic
        self._decoder = Decoder(
            model,
            max_context=max_context,
            max_batch=self.slots,
            max_sessions=1 if deterministic else max_sessions,
        )
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._paused = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="agentgym-engine", daemon=True)
        self._thread.start()

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Sample a completion, together with those of all other callers."""
        from agentgym.engines.decoder import Request

        self._check(token_ids)
        limit = min(sampling.max_tokens, self.max_context - len(token_ids))
        request = Request(
            token_ids=tuple(token_ids),
            temperature=sampling.temperature,
            limit=limit,
            uniforms=np.random.default_rng(seed).random(limit),
            stop=frozenset(stop),
            session=None if self._deterministic else session,
        )
        self._post(partial(self._decoder.submit, request))
        try:
            return await asyncio.wrap_future(request.future)
        except asyncio.CancelledError:
            with suppress(EngineError):
                self._post(partial(self._decoder.cancel, request))
            raise

    async def release(self, session: str) -> None:
        """Free the row of a session."""
        with suppress(EngineError):
            self._post(partial(self._decoder.release, session))

    async def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Compute one pass over the ids, between two steps."""
        self._check(token_ids)
        return await self._between_steps(partial(self._decoder.logprobs, tuple(token_ids)))

    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Copy a state dict in, or take note (None) that the shared module itself changed."""
        await self._between_steps(partial(self._load, source, version))

    async def pause(self) -> None:
        """Stop decoding; when this returns no pass is running."""
        await self._between_steps(partial(setattr, self, "_paused", True))

    async def resume(self) -> None:
        """Go on decoding."""
        await self._between_steps(partial(setattr, self, "_paused", False))

    async def close(self) -> None:
        """End the thread; whoever still waits gets an `EngineError`."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _check(self, token_ids: Sequence[int]) -> None:
        check_prompt(token_ids, max_context=self.max_context, vocabulary=self._vocabulary)

    def _post(self, job: Callable[[], None]) -> None:
        with self._wake:
            if self._closed:
                raise EngineError("the engine is closed")
            self._jobs.append(job)
            self._wake.notify()

    async def _between_steps(self, job: Callable[[], T]) -> T:
        done: Future[T] = Future()
        self._post(partial(_settle, done, job))
        return await asyncio.wrap_future(done)

    def _load(self, source: Weights, version: int) -> None:
        self._decoder.load(source, version=version)
        self.version = version

    # The thread

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                jobs, self._jobs = self._jobs, deque()
                closed = self._closed
            for job in jobs:
                self._attempt(job)
            if closed:
                self._decoder.fail(EngineError("the engine was closed"))
                return
            if not self._paused and self._decoder.busy:
                self._attempt(self._decoder.step)

    def _has_work(self) -> bool:
        return bool(self._jobs) or self._closed or (self._decoder.busy and not self._paused)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever it was, callers must not wait forever
            failure = EngineError(f"decoding raised {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._decoder.fail(failure)


def _settle(done: "Future[T]", job: Callable[[], T]) -> None:
    """Run a job and tell whoever waits for it how it went."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except AgentGymError as error:
        done.set_exception(error)
    except Exception as error:  # noqa: BLE001  it is raised where it is awaited
        failure = EngineError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        done.set_exception(failure)
    else:
        done.set_result(result)
