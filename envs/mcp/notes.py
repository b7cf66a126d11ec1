"""What a server says beside the protocol: kept for the error that may follow, never printed."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TextIO

from pydantic import ValidationError

_MAX_STDERR_BYTES = 2000
_MAX_LINE_CHARS = 200


class Notes(asyncio.Protocol):
    """The tail of stderr, the last line of stdout that is no message, the last HTTP error."""

    def __init__(self) -> None:
        self._stderr = b""
        self._garbage = ""
        self._response = ""

    def data_received(self, data: bytes) -> None:
        """Keep the tail of stderr."""
        self._stderr = (self._stderr + data)[-_MAX_STDERR_BYTES:]

    async def see_message(self, message: object) -> None:
        """Keep what the SDK could not read."""
        if isinstance(message, ValidationError):
            self._garbage = str(message.errors(include_url=False)[0]["input"])[:_MAX_LINE_CHARS]

    async def see_response(self, response: Any) -> None:
        """Keep the status, if the last message was answered by an HTTP error."""
        if response.request.method == "POST":
            status = f"{response.status_code} {response.reason_phrase}".strip()
            self._response = status if response.status_code >= 400 else ""

    def __str__(self) -> str:
        parts = []
        if self._response:
            parts.append(f"it answered HTTP {self._response}")
        if self._garbage:
            parts.append(f"it printed what is no message of the protocol: {self._garbage!r}")
        if stderr := self._stderr.decode(errors="replace").strip():
            parts.append(f"its stderr ends:\n{stderr}")
        return "".join(f"; {part}" for part in parts)


@asynccontextmanager
async def stderr_into(notes: Notes) -> AsyncIterator[TextIO]:
    """Yield a file for the stderr of a process; it is read as it comes, so that it never fills."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as file:
        source = os.fdopen(read_end, "rb", buffering=0)  # closed by the transport
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: notes, source)
        try:
            yield file
        finally:
            transport.close()
            await asyncio.sleep(0)  # the loop closes it in its next turn
