"""Answers as JSON that is compressed while they come: none of them is held."""

import zlib
from typing import Any

from agentgym.errors import ConfigError
from agentgym.viewer.answers import encode

_GZIP = 31  # zlib's name for a window of 32 KiB in the format of gzip, whose header tells no time


class Packed:
    """Answers by address, of so many bytes at most."""

    def __init__(self, most: int, *, hint: str) -> None:
        """`hint` says what to do where there are more."""
        self._most = most
        self._hint = hint
        self._size = 0
        self._packing = zlib.compressobj(9, wbits=_GZIP)
        self._packed = [self._packing.compress(b'{"answers":{')]

    def need(self, size: int) -> None:
        """Refuse what is to come, so many bytes at least, before it is made.

        Raises:
            ConfigError: there is no room for it.
        """
        if self._size + size > self._most:
            told = f"the answers are more than {self._most >> 20} MiB"
            raise ConfigError(told, hint=self._hint)

    def add(self, address: str, answer: bytes) -> None:
        """Put an answer away, which is JSON.

        Raises:
            ConfigError: there is no room for it.
        """
        self.need(len(answer))
        between = b"," if self._size else b""
        self._size += len(answer)
        for each in (between, encode(address), b":", answer):
            self._packed.append(self._packing.compress(each))

    def finish(self, **beside: Any) -> bytes:
        """Return `{"answers": ...}` and what stands beside them, as gzip of JSON."""
        rest = encode(beside)[1:-1]
        self._packed.append(self._packing.compress(b"}%b%b}" % (b"," if rest else b"", rest)))
        return b"".join([*self._packed, self._packing.flush()])
