"""Requests to the server of an engine: tried again while there is hope, else one clear error."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import httpx

from agentgym.engines.served.clients import Clients
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.served.wire import LARGEST_BODY, RESTARTS, SESSION, Malformed
from agentgym.errors import ConfigError, EngineError
from agentgym.rollout.openai.key import ApiKey
from agentgym.rollout.openai.pace import retry_after, wait_before

T = TypeVar("T")

_CONNECT_S = 10.0
_TRIES = 3  # of what is no matter of time: a fault of the engine, an answer that is none
_AWAY = (429, 502, 503, 504)
_WORDS = 600  # characters of what the server says


class Fault(Exception):  # noqa: N818  the request is tried again
    """Raised for what may go better the next time."""

    def __init__(self, what: str, *, hint: str, after_s: float = 0.0, is_of_time: bool = True):
        super().__init__(what)
        self.hint = hint
        self.after_s = after_s
        """What the server asks to wait."""
        self.is_of_time = is_of_time
        """Whether patience helps; else a few attempts must do."""


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


class Link:
    """Speaks to one server for many callers at once; keeps its connections.

    Seeds fix what an engine answers, so that asking again does no harm. Proxies of the
    environment are not used: engines stand beside their trainers.
    """

    def __init__(self, config: ServedEngineConfig) -> None:
        """Read the token and open no connection yet.

        Raises:
            ConfigError: the URL or the token cannot be used.
        """
        self.url = _checked(config.url)
        self.retries = 0
        self.refused = 0
        """Answers that could not be answers to what was asked."""
        self.restarts = 0
        """How often the server has restarted replicas, as it told last."""
        self._config = config
        self._key = _token(config)
        self._chance = random.Random()  # callers should not wait alike
        # Certificates take long to read; once is enough.
        verify = httpx.create_ssl_context() if self.url.startswith("https:") else False
        self._clients = Clients(
            lambda: httpx.AsyncClient(
                headers=self._key.headers,
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
                trust_env=False,
                verify=verify,
            )
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._clients.close()

    async def ask(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        *,
        value: Mapping[str, object] | None = None,
        session: str | None = None,
        patience_s: float | None = None,
    ) -> T:
        """Return what `read` makes of the answer; `Malformed` from it is tried again.

        Raises:
            EngineError: the request is refused, or there was no answer in time.
            ConfigError: the server does not know the token, or is none of ours.
        """
        patience_s = self._config.patience_s if patience_s is None else patience_s
        content = None if value is None else json.dumps(value).encode()
        attempt, first_fault, tries = 0, 0.0, 0
        while True:
            attempt += 1
            try:
                return await self._attempt(method, path, content, session, read)
            except Fault as fault:
                last = fault
            now = time.monotonic()
            first_fault = first_fault or now
            tries += not last.is_of_time
            left_s = patience_s - (now - first_fault)
            if tries >= _TRIES or left_s <= last.after_s:
                raise self._given_up(path, last, attempt)
            self.retries += 1
            wait_s = wait_before(attempt + 1, asked_s=last.after_s, chance=self._chance)
            await asyncio.sleep(min(wait_s, left_s))

    async def _attempt(
        self,
        method: str,
        path: str,
        content: bytes | None,
        session: str | None,
        read: Callable[[bytes], T],
    ) -> T:
        answer = await self._exchange(method, path, content, session)
        told = answer.headers.get(RESTARTS, "")
        if told.isdecimal() and len(told) < 10:
            self.restarts = int(told)
        if answer.status != 200:
            raise self._judged(path, answer)
        try:
            return read(answer.body)
        except Malformed as error:
            self.refused += 1
            raise Fault(
                f"an answer that is none: {error}",
                hint="see that both sides run the same version of agentgym",
                is_of_time=False,
            ) from None

    async def _exchange(
        self, method: str, path: str, content: bytes | None, session: str | None
    ) -> _Answer:
        headers = {} if content is None else {"Content-Type": "application/json"}
        if session is not None:
            headers[SESSION] = quote(session, safe="")
        limit_s = self._config.timeout_s
        try:
            async with (
                asyncio.timeout(limit_s),  # httpx's own limits begin anew with every byte
                self._clients.next().stream(
                    method, f"{self.url}{path}", content=content, headers=headers
                ) as response,
            ):
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > LARGEST_BODY:
                        raise Fault(
                            f"an answer of more than {LARGEST_BODY >> 20} MiB",
                            hint="see what listens there",
                            is_of_time=False,
                        )
                return _Answer(response.status_code, response.headers, bytes(body))
        except (TimeoutError, httpx.ConnectTimeout) as error:
            words = (
                f"no connection within {_CONNECT_S:g} s"
                if isinstance(error, httpx.ConnectTimeout)
                else f"no whole answer within engine.timeout_s = {limit_s:g}"
            )
            hint = "see whether the server is overloaded, or allow more with engine.timeout_s"
            raise Fault(words, hint=hint) from None
        except httpx.HTTPError as error:
            words = f"{type(error).__name__}: {self._key.hide(str(error))}".removesuffix(": ")
            hint = "see whether `agentgym serve` runs there, and what it printed"
            raise Fault(words, hint=hint) from None

    def _judged(self, path: str, answer: _Answer) -> Exception:
        """Return what an answer other than 200 means."""
        status, (said, hint) = answer.status, _said(answer.body)
        words = f"status {status}: {self._key.hide(said)}" if said else f"status {status}"
        if status in _AWAY:
            after_s = retry_after(answer.headers.get("retry-after"))
            return Fault(words, hint=hint or "see what the server printed", after_s=after_s)
        if status >= 500 or status == 408:
            return Fault(words, hint=hint or "see what the server printed", is_of_time=False)
        if status in (401, 403):
            return ConfigError(f"{self.url} refuses the token: {said}", hint=self._token_hint)
        if status == 404 or 300 <= status < 400:
            return ConfigError(
                f"{self.url} is no server of `agentgym serve`: {words}",
                hint="engine.url is what that command printed",
            )
        return EngineError(said or f"{self.url}{path} answered with status {status}", hint=hint)

    @property
    def _token_hint(self) -> str:
        return (
            "set engine.token_file to the file that `agentgym serve` printed, or "
            f"export {self._config.token_env}=..."
        )

    def _given_up(self, path: str, last: Fault, attempts: int) -> EngineError:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return EngineError(
            f"{self.url}{path} gave no answer in {times}; the last: {last}", hint=last.hint
        )


def _checked(url: str) -> str:
    try:
        found = httpx.URL(url)
        is_ours = found.scheme in ("http", "https") and bool(found.host)
    except (httpx.InvalidURL, UnicodeError):
        is_ours = False
    if not is_ours:
        raise ConfigError(
            f"engine.url is {url!r:.200}, expected such as http://127.0.0.1:8100",
            hint="`agentgym serve` prints it",
        )
    return url.rstrip("/")


def _token(config: ServedEngineConfig) -> ApiKey:
    """Read the token of the file or the environment.

    Raises:
        ConfigError: there is none, or it cannot stand in a header.
    """
    path = config.token_path()
    if path is None:
        key = ApiKey.from_env(config.token_env)
    else:
        try:
            key = ApiKey(path.read_text("ascii").strip(), variable="engine.token_file")
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"engine.token_file {str(path)!r} cannot be read: {error}",
                hint="`agentgym serve` printed where it is",
            ) from None
    if not key:
        raise ConfigError(
            f"no token for {config.url}: {config.token_env} is not set",
            hint="set engine.token_file to the file that `agentgym serve` printed",
        )
    return key


def _said(body: bytes) -> tuple[str, str | None]:
    """Return error and hint of a body, whatever it is."""
    try:
        told = json.loads(body)
        error, hint = told["error"], told.get("hint")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _line(body[:_WORDS].decode("utf-8", "replace")), None
    return _line(str(error)), _line(hint) if isinstance(hint, str) else None


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WORDS else flat[: _WORDS - 1] + "…"
