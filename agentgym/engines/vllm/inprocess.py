"""The engine `vllm`: requests, weights and restarts, over processes that may die."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from agentgym.engine import Engine, Loaded, SamplingConfig, Weights, largest_gap
from agentgym.engines.prompt import check_prompt
from agentgym.engines.vllm.adapter import AdapterSync
from agentgym.engines.vllm.completion import (
    NotANumberError,
    sampling_arguments,
    scoring_arguments,
    to_completion,
    to_scores,
)
from agentgym.engines.vllm.core import Core, CoreDiedError, new_log, remove_log, start_core
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.sync import FolderSync, Sync
from agentgym.engines.vllm.transfer import TransferSync
from agentgym.engines.vllm.versions import check_installed
from agentgym.errors import AgentGymError, ConfigError, EngineError, MissingError
from agentgym.types import Completion

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PROBE = 8  # tokens by which the weights of a restarted engine are recognised
_PROBE_GAP = {"float32": 1e-3, "bfloat16": 0.2}  # nats; what rounding may change
_HEARTBEAT_S = 10.0
_HUNG_S = 120.0  # longer than the longest step


class VllmEngine(Engine):
    """vLLM's AsyncLLM in this process, which computes in processes of its own.

    Log-probabilities are those of softmax(logits / temperature); at temperature 0 those at 1.
    Temperatures between 0 and 0.01 are refused, as vLLM would draw at 0.01.

    `deterministic` decodes one request at a time and caches no prefixes. On a CPU, ids, weights,
    sampling and seed then decide the tokens. Otherwise the tokens of a seed are the same up to
    the rounding that comes with the batch.

    When vLLM dies or hangs it is started again, gets the weights that were in use, proves by
    log-probabilities that it has them, and is asked again what it had not answered. After
    `max_restarts` deaths in a row every call raises EngineError.
    """

    def __init__(
        self, config: VllmEngineConfig, loaded: Loaded, *, deterministic: bool = False
    ) -> None:
        self.version = 0
        self.max_context = loaded.max_context
        self.slots = 1 if deterministic else config.max_batch
        self.restarts = 0
        """Times that vLLM was started again."""
        self.num_nan = 0
        """Completions that were refused because the model computed NaN."""
        self._config = config
        self._loaded = loaded
        self._deterministic = deterministic
        self._sync = _sync(config, loaded)
        self._core: Core | None = None
        self._failure: EngineError | None = EngineError("the engine was not started")
        self._is_started = False
        self._vocabulary = 0
        self._probe: tuple[float, ...] | None = None
        self._in_a_row = 0
        self._lock = asyncio.Lock()  # start, weights, restart, sleep: one at a time
        self._awake = asyncio.Event()
        self._awake.set()
        self._is_paused = False
        self._is_closed = False
        self._ids = itertools.count()
        self._under_way = 0
        self._work: set[asyncio.Task[Any]] = set()
        """What somebody waits for, and goes on where they no longer do."""
        self._background: set[asyncio.Task[Any]] = set()
        self._starting: asyncio.Task[Core] | None = None

    # Requests

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
        await self._ready()
        self._check(token_ids)
        arguments = sampling_arguments(
            sampling,
            limit=min(sampling.max_tokens, self.max_context - len(token_ids)),
            seed=seed,
            stop=stop,
            vocabulary=self._vocabulary,
        )
        output = await self._ask(token_ids, arguments)
        try:
            completion = to_completion(output.outputs[0], stop)
        except NotANumberError:
            self.num_nan += 1
            raise
        self._in_a_row = 0
        return completion

    async def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Compute one pass over the ids."""
        await self._ready()
        self._check(token_ids)
        output = await self._ask(token_ids, scoring_arguments())
        return to_scores(output, token_ids)

    def _check(self, token_ids: Sequence[int]) -> None:
        check_prompt(token_ids, max_context=self.max_context, vocabulary=self._vocabulary)

    async def _ask(self, token_ids: Sequence[int], arguments: dict[str, Any]) -> Any:
        """Return what vLLM answers; if it dies over the request, ask once more."""
        self._under_way += 1
        try:
            try:
                return await self._request(await self._ready(), token_ids, arguments)
            except CoreDiedError as error:
                logger.debug("a request is asked again: %s", error)
            return await self._request(await self._ready(), token_ids, arguments)
        finally:
            self._under_way -= 1

    async def _request(
        self, core: Core, token_ids: Sequence[int], arguments: dict[str, Any]
    ) -> Any:
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(**arguments, output_kind=RequestOutputKind.FINAL_ONLY)
        answers = core.llm.generate(
            tokens_input(list(token_ids)),
            parameters,
            request_id=str(next(self._ids)),
            lora_request=self._sync.adapter,
        )
        return await core.call(_last(answers))

    async def _ready(self) -> Core:
        """Return the living core, once it has the right weights."""
        while self._failure is None:
            await self._awake.wait()
            core = self._core
            if core is not None and not core.is_dead and self._awake.is_set():
                return core
            await asyncio.shield(self._spawn(self._replace_dead(), self._work))
        raise EngineError(str(self._failure), hint=self._failure.hint)

    # Life

    async def start(self) -> None:
        """Start vLLM, which takes half a minute on a CPU and some minutes where it compiles."""
        check_installed()
        async with self._lock:
            if self._is_started or self._is_closed:
                return
            await self._sync.prepare(None)
            core = await self._new_core()
            self._vocabulary = core.llm.model_config.get_vocab_size()
            self._core, self._failure = core, None
            self._is_started = True
            self._spawn(self._watch(), self._background)
            self._spawn(self._remember(core), self._background)

    def scalars(self) -> dict[str, float]:
        """Return how often vLLM was started again, and what was refused as not a number."""
        return {"restarts": float(self.restarts), "refused_completions": float(self.num_nan)}

    async def close(self) -> None:
        """End vLLM's processes; whoever still waits gets an `EngineError`."""
        self._is_closed = True
        self._failure = EngineError("the engine is closed")
        self._awake.set()
        for task in self._background:
            task.cancel()
        if self._starting is not None:
            self._starting.cancel()
        if self._core is not None and self._lock.locked():
            self._core.kill()  # or what is under way might take long
        await self._finish(self._close())

    async def _close(self) -> None:
        async with self._lock:
            core, self._core = self._core, None
            if core is not None:
                await _end(core)
            self._sync.close()

    async def _new_core(self) -> Core:
        """Start vLLM, give it the weights in use and their version, and see that it has them."""
        log = new_log()
        self._starting = asyncio.create_task(
            start_core(self._config, self._loaded, deterministic=self._deterministic, log=log)
        )
        try:
            core = await self._starting
        except asyncio.CancelledError:
            self._starting.cancel()
            if self._is_closed:
                raise EngineError("the engine is closed") from None
            raise
        except (ConfigError, MissingError):
            remove_log(log)
            raise
        finally:
            self._starting = None
        logger.info("vLLM runs as process %d; its log is %s", core.pid, log)
        try:
            await self._sync.apply(core, is_fresh=True)
            await core.call(core.llm.update_weight_version(str(self.version)))
            if self._is_paused:
                await core.call(core.llm.pause_generation(mode="keep", clear_cache=False))
            await self._recognise(core)
        except BaseException:
            await self._finish(_end(core))
            raise
        return core

    async def _replace_dead(self) -> None:
        """Start anew if vLLM is dead and nobody else has done so."""
        async with self._lock:
            if self._core is not None and self._core.is_dead:
                await self._revive(self._core)

    async def _revive(self, dead: Core) -> None:
        """Start anew in place of a dead core; where that is no use, fail. The lock is held."""
        cause = dead.cause()
        self._core = None
        await _end(dead)
        while not self._is_closed and self._in_a_row < self._config.max_restarts:
            self._in_a_row += 1
            self.restarts += 1
            logger.warning("vLLM died: %s; restart %d in a row", cause, self._in_a_row)
            try:
                self._core = await self._new_core()
            except AgentGymError as error:
                cause = str(error)
            else:
                return
        self._fail(f"vLLM died {self._in_a_row + 1} times in a row, at last because {cause}")

    async def _recognise(self, core: Core) -> None:
        """Raise EngineError unless the core computes what the last one did with these weights."""
        if self._probe is None or self._is_paused:
            return
        found = await self._score_probe(core)
        gap = largest_gap(found, self._probe)
        if not gap <= _PROBE_GAP[self._loaded.dtype]:
            raise EngineError(f"its log-probabilities differ by {gap:.3g} nats from those before")

    async def _remember(self, core: Core) -> None:
        """Note by which log-probabilities the weights in use are recognised."""
        self._probe = None
        version = self.version
        with suppress(EngineError):  # dead, or NaN: whoever asks is told
            found = await self._score_probe(core)
            if version == self.version and core is self._core:
                self._probe = found

    async def _score_probe(self, core: Core) -> tuple[float, ...]:
        ids = range(min(_PROBE, self._vocabulary, self.max_context - 1))
        return to_scores(await self._request(core, ids, scoring_arguments()), ids)

    def _fail(self, message: str) -> None:
        if self._is_closed:
            return
        self._failure = EngineError(message, hint="load weights again, or resume the run")
        logger.error("%s", message)

    async def _watch(self) -> None:
        """Kill a core that has requests and no longer answers: its callers then ask a new one."""
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            core = self._core
            if core is None or core.is_dead or not self._under_way or self._lock.locked():
                continue
            try:
                async with asyncio.timeout(_HUNG_S):
                    await core.call(core.llm.get_weight_version())
            except TimeoutError:
                logger.warning("vLLM did not answer for %g s and is killed", _HUNG_S)
                core.kill()
            except EngineError as error:  # callers are told themselves
                logger.debug("%s", error)

    # Weights

    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Check the weights, write them where vLLM reads them, and let it read.

        Once begun it goes on to the end, also where the caller is cancelled meanwhile.
        """
        await self._finish(self._load(source, version))

    async def _load(self, source: Weights, version: int) -> None:
        async with self._lock:
            if not self._is_started or self._is_closed:
                raise EngineError("the engine is not running", hint="call start first")
            if source is not None:
                await self._sync.prepare(source)
            self.version = version
            self._probe = None
            core = self._core
            try:
                if core is None:
                    await self._begin_again()
                elif source is not None or not self._awake.is_set():
                    await self._hand_over(core)
                else:
                    await core.call(core.llm.update_weight_version(str(version)))
            except CoreDiedError:
                assert core is not None
                await self._revive(core)
            if self._failure is not None:
                raise EngineError(str(self._failure), hint=self._failure.hint)
            self._awake.set()
            if self._core is not None and not self._is_paused:
                self._spawn(self._remember(self._core), self._background)

    async def _hand_over(self, core: Core) -> None:
        """Let a core that generates take the weights between two steps."""
        try:
            await core.call(core.llm.pause_generation(mode="keep", clear_cache=True))
            await self._sync.apply(core)
            await core.call(core.llm.update_weight_version(str(self.version)))
            if self._config.sleep and not self._awake.is_set():
                await core.call(core.llm.wake_up(tags=["kv_cache"]))
            if not self._is_paused:
                await core.call(core.llm.resume_generation())
        except CoreDiedError:
            raise
        except EngineError as error:  # its model is in pieces
            self._core = None
            self._fail(f"vLLM could not take the weights: {error}")
            await _end(core)

    async def _begin_again(self) -> None:
        """Start a core with the weights that just came, after all restarts failed."""
        self._core = await self._new_core()
        self._failure = None
        self._in_a_row = 0

    async def pause(self) -> None:
        """Stop decoding; when this returns no step is running."""
        await self._finish(self._set_paused(True))

    async def resume(self) -> None:
        """Go on decoding."""
        await self._finish(self._set_paused(False))

    async def _set_paused(self, wanted: bool) -> None:
        async with self._lock:
            self._is_paused = wanted
            core = self._core
            if core is None or not self._awake.is_set():
                return
            with suppress(CoreDiedError):  # the next one is paused where it starts
                if wanted:
                    await core.call(core.llm.pause_generation(mode="keep", clear_cache=False))
                else:
                    await core.call(core.llm.resume_generation())

    async def sleep(self) -> None:
        """Give the memory of weights and cache back, where `config.sleep` says so."""
        await self._finish(self._fall_asleep())

    async def _fall_asleep(self) -> None:
        async with self._lock:
            core = self._core
            if core is None or not self._awake.is_set():
                return
            self._awake.clear()
            with suppress(CoreDiedError):
                await core.call(core.llm.pause_generation(mode="keep", clear_cache=True))
                if self._config.sleep:
                    await core.call(core.llm.sleep(level=2, mode="keep"))

    async def wake(self) -> None:
        """Take the memory again; if it was given back, requests wait for `load_weights`."""
        await self._finish(self._wake_up())

    async def _wake_up(self) -> None:
        async with self._lock:
            core = self._core
            if core is None or self._awake.is_set():
                return
            with suppress(CoreDiedError):
                if self._config.sleep:
                    # The cache follows with the weights: vLLM decodes once all of it is awake.
                    await core.call(core.llm.wake_up(tags=["weights"]))
                    return
                if not self._is_paused:
                    await core.call(core.llm.resume_generation())
            self._awake.set()

    def _spawn(
        self, work: Coroutine[Any, Any, T], kept: set[asyncio.Task[Any]]
    ) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        kept.add(task)
        task.add_done_callback(kept.discard)
        return task

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work to its end, also where the caller is cancelled: the cancellation comes after.

        A second cancellation no longer waits; the work goes on all the same.
        """
        task = self._spawn(work, self._work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen
            raise


def _sync(config: VllmEngineConfig, loaded: Loaded) -> Sync:
    if config.adapter is not None:
        return AdapterSync(config, loaded)
    if config.sync not in ("auto", "folder"):
        return TransferSync(config, loaded)
    return FolderSync(config, loaded)


async def _end(core: Core) -> None:
    await core.close()
    remove_log(core.log)


async def _last(answers: AsyncGenerator[Any, None]) -> Any:
    """Return the one answer of a request that is not streamed."""
    async with aclosing(answers):
        return [answer async for answer in answers][-1]
