"""The engine `served`: the client of `agentgym serve`."""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.engine import Engine, Loaded, SamplingConfig, Weights
from agentgym.engines.served.handover import Handover
from agentgym.engines.served.identity import Vocabulary, fingerprint, vocabulary_of
from agentgym.engines.served.link import Link
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.served.wire import (
    PROTOCOL,
    Asked,
    Malformed,
    read_completion,
    read_logprobs,
)
from agentgym.errors import ConfigError, EngineError
from agentgym.types import Completion

_LEASE_S = 30.0
_LOOK_S = 0.5
_DTYPES = ("float32", "bfloat16")
_RENEWALS = 3  # of a lease, before it ends


class ServedEngine(Engine):
    """Asks an engine elsewhere, and believes nothing that cannot be an answer.

    A request whose caller gives it up is given up by the server, too. A pause is a lease that is
    renewed as long as this process lives: a client that is killed holds nobody for long.
    """

    def __init__(
        self, config: ServedEngineConfig, loaded: Loaded, *, deterministic: bool = False
    ) -> None:
        """Read the token.

        Raises:
            ConfigError: the URL or the token cannot be used.
        """
        self.version = 0
        self.max_context = loaded.max_context
        self._config = config
        self._loaded = loaded
        self._deterministic = deterministic
        self._link = Link(config)
        self._name = secrets.token_hex(8)  # two clients may call their sessions alike
        self._vocabulary = Vocabulary(0, "")
        self._renewals: dict[str, asyncio.Task[None]] = {}
        self._handover: Handover | None = None
        self._home = ""  # where the server finds the model's own weights

    async def start(self) -> None:
        """Find the server, see that it fits, and put this model's own weights in use there."""
        if self._handover is not None:
            return
        self._vocabulary = await asyncio.to_thread(vocabulary_of, self._loaded)
        status = await self._status_once(_is_up, "had no engine that was up")
        self._check_model(status)
        self.slots = _slots_of(status)
        handover = Handover(self._config.weights_dir or str(status.get("weights_dir")))
        await self._check_sight(handover)
        await self._put_own_weights(status)
        self._handover = handover

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Ask for a completion; one that is not of the weights in use now is refused."""
        ids = list(token_ids)
        limit = min(sampling.max_tokens, max(1, self.max_context - len(ids)))
        stop = [each for each in stop if 0 <= each < self._vocabulary.size]
        asked = Asked(limit, frozenset(stop), self._vocabulary.size, self.version)
        return await self._link.ask(
            "POST",
            "/generate",
            lambda body: read_completion(body, asked),
            value={
                "token_ids": ids,
                "temperature": sampling.temperature,
                "max_tokens": limit,
                "seed": seed,
                "stop": stop,
            },
            session=None if session is None else self._session(session),
        )

    async def release(self, session: str) -> None:
        """Let the server forget a session; it does so by itself one day."""
        with suppress(EngineError, ConfigError):
            await self._link.ask(
                "POST", "/release", _nothing, session=self._session(session), patience_s=0
            )

    async def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Ask what the weights in use give to each id after the first."""
        ids = list(token_ids)
        return await self._link.ask(
            "POST",
            "/logprobs",
            lambda body: read_logprobs(body, number=len(ids) - 1),
            value={"token_ids": ids},
        )

    async def load_weights(self, source: Weights, *, version: int) -> None:
        """Hand weights over; when this returns every replica holds them.

        Whoever cancels it finds the server with the weights before or these, and never paused.
        """
        folder = None
        if isinstance(source, Path):
            folder = str(source.resolve())
        elif source is not None:
            folder = await self._write(source)
        await self._switch(folder, version)
        self.version = version

    async def pause(self) -> None:
        """Stop decoding in all replicas; ends with this process, if not before."""
        await self._hold("/pause")

    async def resume(self) -> None:
        """Go on decoding, unless another client holds the engines."""
        await self._let_go("/pause", "/resume")

    async def sleep(self) -> None:
        """Let the replicas give their memory back."""
        await self._hold("/sleep")

    async def wake(self) -> None:
        """Let them take it again; they have the weights that were in use."""
        await self._let_go("/sleep", "/wake")

    def scalars(self) -> dict[str, float]:
        """Return what went wrong so far and was made good."""
        return {
            "retries": float(self._link.retries),
            "refused_completions": float(self._link.refused),
            "restarts": float(self._link.restarts),
        }

    async def close(self) -> None:
        """Let go of the server, which goes on."""
        for held, released in (("/pause", "/resume"), ("/sleep", "/wake")):
            if held in self._renewals:
                with suppress(EngineError, ConfigError):
                    await self._let_go(held, released)
        if self._handover is not None:
            await self._take_back(self._handover)
            self._handover = None
        await self._link.close()

    # The server

    async def _status_once(
        self, is_so: Callable[[Mapping[str, Any]], bool], otherwise: str
    ) -> dict[str, Any]:
        """Return the server's status once something is so.

        Raises:
            EngineError: it was not, for as long as patience lasts.
        """
        limit_s = self._config.patience_s
        try:
            async with asyncio.timeout(limit_s + _LOOK_S):
                # The server tells nobody by itself.
                while not is_so(  # noqa: ASYNC110
                    status := await self._link.ask("GET", "/status", _object)
                ):
                    await asyncio.sleep(_LOOK_S)
                return status
        except TimeoutError:
            raise EngineError(
                f"{self._link.url} {otherwise} within engine.patience_s = {limit_s:g}",
                hint="see what `agentgym serve` printed",
            ) from None

    def _check_model(self, status: Mapping[str, Any]) -> None:
        url, own = self._link.url, self._vocabulary
        if status.get("protocol") != PROTOCOL:
            raise ConfigError(
                f"{url} speaks protocol {status.get('protocol')!r}, this side {PROTOCOL}",
                hint="run the same version of agentgym on both sides",
            )
        theirs = status.get("vocabulary")
        if theirs != own._asdict():
            raise ConfigError(
                f"{url} serves {status.get('model')!r}, whose tokens are others than those of "
                f"{str(self._loaded.folder)!r}: {_words(theirs)}, here {_words(own._asdict())}",
                hint="serve the model that model.path names, or one with the same tokenizer",
            )
        room = status.get("max_context")
        if not isinstance(room, int) or room < self.max_context:
            raise ConfigError(
                f"{url} takes {room} tokens of context, and {self.max_context} are wanted",
                hint=f"set model.max_context={room} here, or serve with a larger one",
            )
        if self._deterministic and status.get("deterministic") is not True:
            raise ConfigError(
                f"rollout.deterministic is set, and {url} decodes many requests at once",
                hint="start it with agentgym serve --deterministic",
            )

    async def _check_sight(self, handover: Handover) -> None:
        with handover.sight() as (file, digest):
            value = {"file": file, "digest": digest}
            sees = await self._link.ask("POST", "/sees", _object, value=value)
        if sees.get("sees") is not True:
            raise ConfigError(
                f"{self._link.url} does not see {file!r}, beside which weights are handed over",
                hint="set engine.weights_dir to a folder of a file system that both sides see",
            )

    # Weights and holds

    async def _put_own_weights(self, status: Mapping[str, Any]) -> None:
        """Let the server hold the weights of `loaded.folder`, whatever others left there."""
        own = self._loaded.folder.resolve()
        is_same = status.get("fingerprint") == await asyncio.to_thread(fingerprint, own)
        self._home = str(status.get("model")) if is_same else str(own)
        if is_same and status.get("weights") is None and status.get("version") == 0:
            return
        await self._switch(self._home, 0)

    async def _write(self, source: Mapping[str, Any]) -> str:
        if self._handover is None:
            raise EngineError("the engine was not started")
        # Of a load that was cancelled or given up here, the server may still read the other folder.
        status = await self._status_once(_is_settled, "was not done with other weights")
        in_use, dtype = status.get("weights"), status.get("dtype")
        folder = await asyncio.to_thread(
            self._handover.write, source, in_use=in_use, dtype=dtype if dtype in _DTYPES else None
        )
        return str(folder)

    async def _take_back(self, handover: Handover) -> None:
        """Remove what was handed over, once the server no longer needs it."""
        if handover.is_used:
            with suppress(EngineError, ConfigError):
                await self._switch(self._home, 0, patience_s=0)
        await asyncio.to_thread(handover.close)

    async def _switch(
        self, folder: str | None, version: int, *, patience_s: float | None = None
    ) -> None:
        value = {"folder": folder, "version": version, "id": secrets.token_hex(16)}
        await self._link.ask("POST", "/weights", _nothing, value=value, patience_s=patience_s)

    async def _hold(self, path: str) -> None:
        value = {"holder": self._name, "lease_s": _LEASE_S}
        await self._link.ask("POST", path, _nothing, value=value)
        if path not in self._renewals:
            self._renewals[path] = asyncio.create_task(self._renew(path, value))

    async def _renew(self, path: str, value: Mapping[str, Any]) -> None:
        while True:
            await asyncio.sleep(_LEASE_S / _RENEWALS)
            with suppress(EngineError, ConfigError):
                await self._link.ask("POST", path, _nothing, value=value)

    async def _let_go(self, held: str, released: str) -> None:
        if renewal := self._renewals.pop(held, None):
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        await self._link.ask("POST", released, _nothing, value={"holder": self._name})

    def _session(self, session: str) -> str:
        return f"{self._name}-{session}"


async def ask_status(config: ServedEngineConfig) -> dict[str, Any]:
    """Return what a server tells of itself.

    Raises:
        ConfigError: it does not know the token, or is none of ours.
        EngineError: it does not answer.
    """
    link = Link(config)
    try:
        return await link.ask("GET", "/status", _object)
    finally:
        await link.close()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed(f"a {type(found).__name__} where an object was expected")
    return found


def _nothing(body: bytes) -> None:
    _object(body)


def _slots_of(status: Mapping[str, Any]) -> int | None:
    """Return how many requests all replicas decode at once."""
    slots = status.get("slots")
    return slots * len(status.get("replicas", ())) if isinstance(slots, int) else None


def _is_up(status: Mapping[str, Any]) -> bool:
    """Whether there is an engine, or nothing that could be waited for."""
    return status.get("state") == "up" or status.get("protocol", PROTOCOL) != PROTOCOL


def _is_settled(status: Mapping[str, Any]) -> bool:
    return not status.get("is_switching")


def _words(vocabulary: Any) -> str:
    if not isinstance(vocabulary, Mapping):
        return "no vocabulary"
    return f"{vocabulary.get('size')} ids, digest {str(vocabulary.get('digest'))[:12]}"
