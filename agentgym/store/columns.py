"""Columns of numbers as bytes: byte-shuffled, so that equal high bytes stand together, then zstd.

columns = u32 size of the index; the index, a JSON list of {"name", "dtype", "length",
"bytes"}; the columns one after the other. Numbers are little-endian.
"""

import struct
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import StoreError
from agentgym.store.jsonline import from_json, to_json

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Columns = Mapping[str, NDArray[Any]]

_KINDS = "biuf"
_SIZE = struct.Struct("<I")


def encode_columns(columns: Columns) -> bytes:
    """Return the bytes of 1-d columns; every bit of a number is kept.

    Raises:
        StoreError: a column is something else.
    """
    index = []
    blobs = []
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in _KINDS:
            raise StoreError(f"column {name} is not 1-d numbers: {column.dtype} {column.shape}")
        column = column.astype(column.dtype.newbyteorder("<"), copy=False)
        width = column.dtype.itemsize
        shuffled = np.ascontiguousarray(column).view(np.uint8).reshape(-1, width).T.tobytes()
        blobs.append(zstd.compress(shuffled))
        index.append(
            {
                "name": name,
                "dtype": column.dtype.str,
                "length": len(column),
                "bytes": len(blobs[-1]),
            }
        )
    line = to_json(index)
    return b"".join([_SIZE.pack(len(line)), line, *blobs])


def decode_columns(data: bytes, *, only: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read what `encode_columns` wrote, `only` what is named or all; nothing gives no columns.

    Raises:
        ValueError, KeyError, struct.error, ZstdError: this is something else.
    """
    if not data:
        return {}
    (length,) = _SIZE.unpack_from(data)
    at = _SIZE.size + length
    columns: dict[str, NDArray[Any]] = {}
    for entry in from_json(data[_SIZE.size : at]):
        dtype = np.dtype(entry["dtype"])
        if dtype.kind not in _KINDS:
            raise ValueError(f"column {entry['name']} has the type {dtype}")
        first, at = at, at + entry["bytes"]
        if only is not None and entry["name"] not in only:
            continue
        raw = zstd.decompress(data[first:at])
        shuffled = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, entry["length"])
        columns[entry["name"]] = np.ascontiguousarray(shuffled.T).reshape(-1).view(dtype)
    return columns
