r"""A retriever behind HTTP that answers as Search-R1's `/retrieve` does.

Request   {"queries": [text], "topk": k, "return_scores": true}
Answer    {"result": [[{"document": {"id": ..., "contents": "title\ntext"}, "score": ...}, ...]]}

The first line of `contents` is the title, perhaps in quotation marks. An `id` may be missing; it
is then made of the contents.
"""

import asyncio
import functools
import json
import ssl
from typing import TYPE_CHECKING, Any

from agentgym.envs.search.corpus import Article
from agentgym.envs.search.index import Hit
from agentgym.envs.search.text import citable
from agentgym.errors import EnvError
from agentgym.types import digest

if TYPE_CHECKING:
    import httpx

_TRIES = 3
_PAUSE_S = 0.2  # before the second try; twice as long before the third
_MAX_BYTES = 8 << 20
_SHOWN_CHARS = 200
_HINT = "start it, or set env.retriever; it must answer like Search-R1's /retrieve"


class RemoteRetriever:
    """Asks one URL; what goes wrong there is a fault, never an observation."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def search(self, query: str, k: int) -> list[Hit]:
        """Return what the retriever found, in its order.

        Raises:
            EnvError: it could not be reached, refused, or answered something else.
        """
        body = await self._post({"queries": [query], "topk": k, "return_scores": True})
        try:
            (found,) = json.loads(body)["result"]
            return [_hit(item) for item in found][:k]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            shown = body[:_SHOWN_CHARS].decode("utf-8", "replace")
            raise EnvError(
                f"the retriever {self._url} answered {shown!r}, expected "
                '{"result": [[{"document": {"contents": ...}, "score": ...}]]}',
                hint=_HINT,
            ) from error

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, request: dict[str, Any]) -> bytes:
        """Ask until it answers; silence and 5xx may pass."""
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_S * 2 ** (attempt - 1))
            status, body = await self._ask(request)
            if status == 200:
                return body
            shown = body[:_SHOWN_CHARS].decode("utf-8", "replace")
            problem = f"status {status}: {shown!r}" if status else shown
            if status and status < 500 and status != 429:
                break
        raise EnvError(f"the retriever {self._url} failed: {problem}", hint=_HINT)

    async def _ask(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body; 0 and the reason where there was no answer."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(verify=_tls(), timeout=self._timeout_s)
        try:
            # A server that sends byte after byte keeps within the limits of httpx for ever.
            async with asyncio.timeout(self._timeout_s):
                return await _exchange(self._client, self._url, request)
        except (TimeoutError, httpx.TimeoutException):
            return 0, f"no answer within {self._timeout_s:g} s".encode()
        except httpx.TransportError as error:
            return 0, f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EnvError(f"the retriever {self._url} failed: {error}", hint=_HINT) from error


async def _exchange(
    client: "httpx.AsyncClient", url: str, request: dict[str, Any]
) -> tuple[int, bytes]:
    async with client.stream("POST", url, json=request) as response:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_BYTES:
                raise EnvError(
                    f"the retriever {url} answered with more than {_MAX_BYTES >> 20} MiB",
                    hint=_HINT,
                )
        return response.status_code, bytes(body)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than many answers, so they are read once."""
    import httpx

    return httpx.create_ssl_context()


def _hit(item: Any) -> Hit:
    document, score = item["document"], float(item["score"])
    contents = document["contents"]
    if not isinstance(contents, str):
        raise TypeError("contents is no text")
    title, _, text = contents.partition("\n")
    id = document.get("id")
    id = digest(contents) if id in (None, "") else citable(str(id))
    return Hit(Article(id, title.strip().strip('"'), text.strip()), score)
