"""A file of another program, opened: values of JSON, each with where it stands.

Such a file is hostile until it was read: lines and documents have a limit, and what is no JSON is
told with its file and line.
"""

import gzip
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from agentgym.errors import ConfigError, StoreError
from agentgym.store.frames import OnBroken, skipping

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:
    from backports import zstd
    from backports.zstd import zipfile

LIMIT = 512 << 20  # bytes of one line, document or member: that much is in memory at once

_PIECE = 1 << 16  # bytes unpacked at once: what an archive says of a size may be a lie
_ZIP, _GZIP, _ZSTD = b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD)
_BAD_READ = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    zstd.ZstdError,
    zlib.error,
    struct.error,
    zipfile.BadZipFile,
)


class Value(NamedTuple):
    """A value of JSON, and where it stands."""

    value: Any
    place: str
    """As errors say it."""
    name: str
    """For what has no name of its own."""


class Source:
    """A file that may hold episodes. What is broken in it goes to `on_broken`; None: is raised."""

    def __init__(self, path: str | Path, *, on_broken: OnBroken | None = None) -> None:
        self.path = Path(path)
        self.on_broken = on_broken
        if not self.path.is_file():
            raise ConfigError(f"there is no file {str(path)!r}", hint="give the file of episodes")

    @cached_property
    def is_zip(self) -> bool:
        """Whether it is an archive, whose values are its members."""
        return self._magic() == _ZIP

    @cached_property
    def first(self) -> Any:
        """The first value that is JSON, to know the format by; None: there is none.

        Of a document it is the whole: what a format is known by may stand anywhere in it.
        """
        if self.is_zip:
            return None
        try:
            found = next(self._values(lambda _: None), None)
        except StoreError:
            return None
        return found and found.value

    def values(self) -> Iterator[Value]:
        """Yield the values: lines, the items of a list, or the one document.

        Raises:
            StoreError: it cannot be read, or, without `on_broken`, is no JSON.
        """
        return self._values(self.on_broken)

    @cached_property
    def members(self) -> dict[str, int]:
        """The names of what is in the archive, each once, with the size it has by its account.

        Raises:
            StoreError: it cannot be read.
        """
        return {each.filename: each.file_size for each in self._archive.infolist()}

    def member(self, name: str) -> Value:
        """Read a member of the archive.

        Raises:
            StoreError: it is too large, damaged, or no JSON.
        """
        place = f"{self.path}: {name!r}"
        try:
            info = self._archive.getinfo(name)
            if info.file_size > LIMIT:
                raise StoreError(_too_large(place, info.file_size))
            if info.compress_type not in _PACKED:
                raise NotImplementedError(f"it is packed by method {info.compress_type}")
            with self._archive.open(info) as file:
                data = b"".join(iter(lambda: file.read(_PIECE), b""))
        except KeyError as error:
            raise StoreError(f"{place} is not in the archive") from error
        except (*_BAD_READ, RuntimeError) as error:
            raise StoreError(f"{place} cannot be read: {error}") from error
        return Value(parse(data, place), place, name)

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except _BAD_READ as error:
            raise StoreError(f"{self.path} is a broken archive: {error}") from error

    def _magic(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(4)
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from error

    def _open(self) -> IO[bytes]:
        magic = self._magic()
        if magic == _ZSTD:
            return cast(IO[bytes], zstd.open(self.path))
        if magic.startswith(_GZIP):
            return cast(IO[bytes], gzip.open(self.path))
        return self.path.open("rb")

    def _values(self, on_broken: OnBroken | None) -> Iterator[Value]:
        """Yield the values; of a packed file that was cut, those that are whole."""
        with skipping(on_broken):
            yield from self._unpacked(on_broken)

    def _unpacked(self, on_broken: OnBroken | None) -> Iterator[Value]:
        try:
            with self._open() as file:
                if self._is_lines(file):
                    yield from self._lines(file, on_broken)
                else:
                    yield from self._document(file)
        except _BAD_READ as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error

    def _is_lines(self, file: IO[bytes]) -> bool:
        """Whether the first line is an object by itself; or the second, where the first is broken."""
        lines = (line for line in iter(lambda: file.readline(LIMIT), b"") if line.strip())
        first = next(lines, b"")
        found = _is_object(first) or (_begins_object(first) and _is_object(next(lines, b"")))
        file.seek(0)
        return found

    def _lines(self, file: IO[bytes], on_broken: OnBroken | None) -> Iterator[Value]:
        number = 0
        while line := file.readline(LIMIT + 1):
            number += 1
            place = f"{self.path}, line {number}"
            if len(line) > LIMIT:
                raise StoreError(_too_large(place, len(line)))
            if line.strip():
                with skipping(on_broken):
                    yield Value(parse(line.rstrip(), place), place, f"line-{number}")

    def _document(self, file: IO[bytes]) -> Iterator[Value]:
        text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise StoreError(_too_large(str(self.path), len(text)))
        value = parse(text, str(self.path))
        if not isinstance(value, list):
            yield Value(value, str(self.path), self.path.name)
            return
        for number, item in enumerate(value, 1):
            yield Value(item, f"{self.path}, item {number}", f"item-{number}")


def parse(data: bytes, place: str) -> Any:
    """Return the JSON in `data`; NaN and infinities, which JSON lacks, are null.

    Raises:
        StoreError: it is none.
    """
    try:
        text = data.decode("utf-8-sig", "surrogatepass")
        return json.loads(text, parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        message = f"{place}: expected UTF-8, found byte {data[error.start]:#04x} at {error.start}"
        raise StoreError(message) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else ""
        at = where or f"column {error.colno}"
        raise StoreError(f"{place}: expected JSON; {error.msg} at {at}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{place}: expected JSON that can be read: {error}") from error


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse(line, "a line"), dict)
    except StoreError:
        return False


def _begins_object(line: bytes) -> bool:
    """Whether this may be an object that was cut, and not the first line of a printed one."""
    return len(text := line.removeprefix(b"\xef\xbb\xbf").strip()) > 1 and text.startswith(b"{")


def _too_large(place: str, size: int) -> str:
    return f"{place} has {size} bytes or more; at most {LIMIT} are read at once"
