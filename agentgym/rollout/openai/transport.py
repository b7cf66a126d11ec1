"""Requests over HTTP: one connection pool for a run, a limit on time and one on size."""

import asyncio
import functools
import json
import ssl
from typing import NamedTuple

import httpx

from agentgym.errors import ConfigError, MissingError
from agentgym.rollout.openai.answer import whole_characters
from agentgym.rollout.openai.key import ApiKey
from agentgym.rollout.openai.settings import OpenAIConfig

_COMPLETIONS = "/chat/completions"
_MAX_BYTES = 16 << 20  # of one answer; a model writes a few KiB
_CONNECT_S = 15.0
_KNOCKS = 3
_MODEL_CHARS = 100


class PassingFault(Exception):  # noqa: N818  the request is tried again
    """Raised for what may go better the next time."""

    def __init__(self, what: str, *, after_s: float = 0.0) -> None:
        super().__init__(what)
        self.after_s = after_s
        """How long the server asks to wait."""


class Response(NamedTuple):
    """What came back, whatever it is."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the server did as it was asked."""
        return 200 <= self.status < 300


class Transport:
    """Speaks to one URL. The key goes into a header and is taken out of every error."""

    def __init__(self, config: OpenAIConfig, key: ApiKey) -> None:
        """Open no connection yet.

        Raises:
            ConfigError, MissingError: the URL, or what the environment says of proxies or
                certificates, cannot be used.
        """
        _check_url(config.url)
        self._config = config
        self._key = key
        try:
            self._http = httpx.AsyncClient(
                headers=key.headers,
                verify=_certificates(),
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                limits=httpx.Limits(max_connections=config.concurrency + 1),  # one for the models
            )
        except ImportError as error:
            message = "a proxy of the environment is of a kind that httpx lacks a package for"
            raise MissingError(message, hint="pip install 'httpx[socks]'") from error
        except (ValueError, httpx.InvalidURL):  # its text may hold the proxy's password
            raise ConfigError(
                "one of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY is no URL of a proxy",
                hint="mend it, or unset it",
            ) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, content: bytes) -> Response:
        """Ask for a completion.

        Raises:
            PassingFault: there was no whole answer.
        """
        limit_s = self._config.timeout_s
        try:
            return await self._exchange("POST", _COMPLETIONS, content, timeout_s=limit_s)
        except httpx.ConnectTimeout:
            raise PassingFault(f"no connection within {_CONNECT_S:g} s") from None
        except (TimeoutError, httpx.TimeoutException):
            raise PassingFault(f"no whole answer within openai.timeout_s = {limit_s:g}") from None
        except httpx.HTTPError as error:
            raise PassingFault(self._words(error)) from None

    async def models(self) -> list[str]:
        """Return the names of the models that the server says it has; none where it says nothing."""
        try:
            response = await self._exchange("GET", "/models", timeout_s=_CONNECT_S)
            listed = json.loads(response.body)["data"]
            names = [model["id"] for model in listed if isinstance(model["id"], str)]
        except (httpx.HTTPError, TimeoutError, PassingFault):
            return []
        except (ValueError, TypeError, LookupError, RecursionError):  # it answered something else
            return []
        return [whole_characters(self._key.hide(name)[:_MODEL_CHARS]) for name in names]

    async def knock(self) -> None:
        """Find out whether there is a server, whatever it answers.

        Raises:
            MissingError: there is none.
        """
        for attempt in range(1, _KNOCKS + 1):
            try:
                await self._exchange("GET", "/models", timeout_s=_CONNECT_S)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if attempt == _KNOCKS:
                    raise MissingError(
                        f"no server at {self._config.url}: {self._words(error)}",
                        hint="start it, or mend the URL in -m openai:MODEL@URL",
                    ) from None
                await asyncio.sleep(0.2 * attempt)
            except (httpx.HTTPError, TimeoutError, PassingFault):
                return  # slow or odd, but there
            else:
                return

    async def _exchange(
        self, method: str, path: str, content: bytes | None = None, *, timeout_s: float
    ) -> Response:
        headers = {} if content is None else {"Content-Type": "application/json"}
        url = f"{self._config.url}{path}"
        # A server that sends byte after byte keeps within the limits of httpx for ever.
        async with (
            asyncio.timeout(timeout_s),
            self._http.stream(method, url, content=content, headers=headers) as response,
        ):
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise PassingFault(f"an answer of more than {_MAX_BYTES >> 20} MiB")
            return Response(response.status_code, response.headers, bytes(body))

    def _words(self, error: Exception) -> str:
        return f"{type(error).__name__}: {self._key.hide(str(error))}".removesuffix(": ")


def _check_url(url: str) -> None:
    """Refuse what looks like a URL and has no host that could be asked."""
    try:
        _ = httpx.URL(f"{url}{_COMPLETIONS}").host  # read where it is asked for
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(
            f"{url:.200} cannot be asked, expected a URL such as http://localhost:8000/v1: {error}",
            hint="mend the URL in -m openai:MODEL@URL",
        ) from None


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read them once: it takes longer than many a request."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}",
            hint="mend it, or unset it",
        ) from error
