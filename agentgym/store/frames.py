"""The grammar of a shard, a file that `zstd -dc FILE | jq` reads as JSON lines.

    shard   = header record*
    header  = zstd frame of the line {"schema": "agentgym.episodes/1", "writer": ..., ...}
    record  = HEAD  body  COLS?                               written by one write
    HEAD    = skippable frame 0x184D2A50 of the JSON {"crc": 8 hexadecimal digits, "frame": bytes
              of body, "cols": bytes of COLS with its prefix, "head": {...}}; the CRC-32 covers
              everything after its comma, to the end of the record
    body    = zstd frame of one JSON line
    COLS    = skippable frame 0x184D2A51 of what `columns.py` describes

Numbers are little-endian. A reader stops at the first record that is incomplete or broken.
"""

import logging
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from agentgym.errors import StoreError
from agentgym.store.columns import Columns, decode_columns, encode_columns
from agentgym.store.jsonline import check_schema, from_json, quick_json, to_json

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

logger = logging.getLogger(__name__)

HEAD_MAGIC = 0x184D2A50
COLS_MAGIC = 0x184D2A51

OnBroken = Callable[[StoreError], None]
"""(what cannot be read)"""

_SUFFIX = ".jsonl.zst"
_PREFIX = struct.Struct("<II")
_CRC_BYTES = len('{"crc":"00000000",')
_HEADER_BYTES = 1 << 16  # more than any header line takes
_SHARD_NAME = re.compile(r"(?P<writer>.+)-(?P<number>\d{5,})" + re.escape(_SUFFIX))


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a record without opening it."""

    shard: Path
    offset: int
    fields: dict[str, Any]
    header: Mapping[str, Any]
    """The header line of the shard."""
    body: int
    """Where the body begins."""
    stop: int
    """Where the record ends."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record, opened."""

    head: Head
    body: dict[str, Any]
    columns: dict[str, NDArray[Any]]


def shards(folder: Path) -> list[Path]:
    """Return the shards in a folder, writer by writer, oldest first."""
    if not folder.is_dir():
        return []
    found = ((split_name(path), path) for path in folder.iterdir())
    return [path for _, path in sorted((key, path) for key, path in found if key)]


def read_heads(path: Path, *, schema: str, start: int = 0) -> Iterator[Head]:
    """Yield the heads of the whole records of a shard, hopping from one to the next.

    `start` is where a record begins, or 0 for the first one.

    Raises:
        StoreError: the file is no shard of this schema.
    """
    with _opened(path) as file:
        yield from _heads(file, path, schema, start)


def read_records(
    path: Path, *, schema: str, want: Callable[[Head], bool] = lambda _: True
) -> Iterator[Record]:
    """Yield the records of a shard whose head is wanted, up to the first broken one.

    Raises:
        StoreError: the file is no shard of this schema.
    """
    with _opened(path) as file:
        for head in _heads(file, path, schema):
            if not want(head):
                continue
            try:
                record = _record(file, head)
            except StoreError as error:
                logger.warning("%s; the rest of the shard is ignored", error)
                return
            yield record


def read_record(
    head: Head, *, only: Collection[str] | None = None, with_body: bool = True
) -> Record:
    """Open one record; of its columns `only` those named are decoded, None: all.

    Without its body the JSON line, which may be long, is not read, and is given as empty.

    Raises:
        StoreError: it is broken, or the file changed.
    """
    with _opened(head.shard) as file:
        return _record(file, head, only, with_body=with_body)


def header_stop(path: Path, *, schema: str) -> int:
    """Return where the header of a shard ends; 0: it is cut off, and nothing behind it is read.

    Raises:
        StoreError: the file is no shard of this schema.
    """
    with _opened(path) as file:
        header, stop = _read_header(file, path, schema)
    return stop if header else 0


@contextmanager
def skipping(on_broken: OnBroken | None) -> Iterator[None]:
    """Tell `on_broken` of what cannot be read inside of the block and go on; None: raise it."""
    try:
        yield
    except StoreError as error:
        if on_broken is None:
            raise
        on_broken(error)


def shard_name(writer: str, number: int) -> str:
    """Return the name of a shard."""
    return f"{writer}-{number:05d}{_SUFFIX}"


def split_name(path: Path) -> tuple[str, int] | None:
    """Return writer and number of a shard; None: another file."""
    match = _SHARD_NAME.fullmatch(path.name)
    return (match["writer"], int(match["number"])) if match else None


def encode_header(header: Mapping[str, Any]) -> bytes:
    """Return the bytes that a shard begins with."""
    return zstd.compress(to_json(header) + b"\n")


def encode_record(
    head: Mapping[str, Any], line: bytes, columns: Columns, compressor: zstd.ZstdCompressor
) -> bytes:
    """Return the bytes of a record; `line` is its body as JSON.

    A compressor that is kept is twice as fast at short lines as one that is made for each.

    Raises:
        StoreError: it holds what cannot be stored.
    """
    frame = compressor.compress(line + b"\n", zstd.ZstdCompressor.FLUSH_FRAME)
    cols = _skippable(COLS_MAGIC, encode_columns(columns)) if columns else b""
    fields = {"frame": len(frame), "cols": len(cols), "head": head}
    rest = (quick_json(fields) or to_json(fields))[1:]
    crc = zlib.crc32(cols, zlib.crc32(frame, zlib.crc32(rest)))
    return _skippable(HEAD_MAGIC, b'{"crc":"%08x",' % crc + rest) + frame + cols


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _heads(file: BinaryIO, path: Path, schema: str, start: int = 0) -> Iterator[Head]:
    size = os.fstat(file.fileno()).st_size
    header, offset = _read_header(file, path, schema)
    offset = max(offset, start)
    while header and offset < size:
        head = _head_at(file, offset, size=size, path=path, header=header)
        if head is None:
            logger.warning("%s: ignoring %d bytes after the last whole record", path, size - offset)
            return
        yield head
        offset = head.stop


def _read_header(file: BinaryIO, path: Path, schema: str) -> tuple[dict[str, Any], int]:
    """Return the header line and where it ends; empty when the writer died while writing it."""
    start = file.read(_HEADER_BYTES)
    if not start.strip(b"\0"):  # zeros: a power cut after the file grew
        return {}, 0
    decompressor = zstd.ZstdDecompressor()
    try:
        line = decompressor.decompress(start)
        header = from_json(line) if decompressor.eof else {}
    except (zstd.ZstdError, ValueError) as error:
        hint = "move it away: the other shards can still be read"
        raise StoreError(f"{path} is no shard: {error}", hint=hint) from error
    if header:
        check_schema(header.get("schema"), schema, path=path)
    return header, len(start) - len(decompressor.unused_data)


def _head_at(
    file: BinaryIO, offset: int, *, size: int, path: Path, header: Mapping[str, Any]
) -> Head | None:
    file.seek(offset)
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    magic, length = _PREFIX.unpack(prefix)
    body = offset + _PREFIX.size + length
    if magic != HEAD_MAGIC or body > size:
        return None
    try:
        values = from_json(file.read(length))
        stop = body + int(values["frame"]) + int(values["cols"])
        fields = dict(values["head"])
    except (ValueError, KeyError, TypeError):
        return None
    return Head(path, offset, fields, header, body, stop) if body <= stop <= size else None


def _record(
    file: BinaryIO, head: Head, only: Collection[str] | None = None, *, with_body: bool = True
) -> Record:
    file.seek(head.offset)
    data = file.read(head.stop - head.offset)
    at = head.body - head.offset
    try:
        values = from_json(data[_PREFIX.size : at])
        if values["crc"] != f"{zlib.crc32(data[_PREFIX.size + _CRC_BYTES :]):08x}":
            raise StoreError(f"{head.shard}: the record at byte {head.offset} is broken (CRC)")
        cols = at + values["frame"]
        body = from_json(zstd.decompress(data[at:cols])) if with_body else {}
        return Record(head, body, decode_columns(data[cols + _PREFIX.size :], only=only))
    except (ValueError, KeyError, TypeError, struct.error, zstd.ZstdError) as error:
        raise StoreError(
            f"{head.shard}: the record at byte {head.offset} is broken ({error})"
        ) from error


def _skippable(magic: int, payload: bytes) -> bytes:
    if len(payload) >> 32:
        raise StoreError(f"a record of {len(payload)} bytes is too large to be stored")
    return _PREFIX.pack(magic, len(payload)) + payload
