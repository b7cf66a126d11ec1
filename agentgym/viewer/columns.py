"""Columns of numbers for the browser, as bytes that it need not parse.

    answer = u32 header length; header, JSON {"columns": [{"name", "dtype", "shape", "offset"}]},
             filled up with spaces to a multiple of 8 bytes; the columns

Everything is little-endian. `offset` counts from the first byte after the header and is a multiple
of 8, so that typed arrays can be laid over the bytes. `dtype` is one of u1 i1 i4 f4 f8.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.errors import ConfigError, StoreError, boundary
from agentgym.store.episodes import SCHEMA
from agentgym.store.frames import Head, read_heads, read_record
from agentgym.store.jsonline import to_json
from agentgym.viewer.index import Index
from agentgym.viewer.noted import read_credit, read_noted

MOST_NAMES = 32
"""Columns of one answer."""

OF_SEGMENT = ("token_ids", "sampled", "logprobs")
"""[L], of one segment."""

OF_TOKENS = {
    "trainer_logprobs": "logprobs",
    "advantage": "advantages",
    "weight": "weights",
    "cause": "cause",
    "staleness": "staleness",
    "reward": "rewards",
    "entropy": "entropy",
    "value": "value",
    "token_value": "token_value",
    "answer_logprob": "answer_logprob",
    "process_reward": "process_reward",
}
"""[N], of the sampled tokens of an episode, and where notes have them."""

_CREDIT = "credit:"
_ALIGNED = 8
_LENGTH = struct.Struct("<I")
_DTYPES = {"b1": "u1", "u1": "u1", "i1": "i1", "i4": "i4", "i8": "f8", "f4": "f4", "f8": "f8"}

Column = NDArray[Any]


def read_columns(index: Index, head: Head, name: str, names: Sequence[str], segment: int) -> bytes:
    """Return columns of the episode `name` as bytes; one that nobody recorded is left out.

    Raises:
        ConfigError: no column is called this, or there is no such segment.
        StoreError: a record is broken.
    """
    check_names(names)
    found: dict[str, Column] = {}
    if wanted := [each for each in names if each in OF_SEGMENT]:
        found |= segment_columns(head, wanted, segment)
    found |= _noted_columns(index, name, [each for each in names if each in OF_TOKENS])
    for each in names:
        if each.startswith(_CREDIT):
            noted = read_credit(index, name, each.removeprefix(_CREDIT))
            values = noted.per_token("advantages") if noted else None
            found |= {} if values is None else {each: values}
    return encode({each: found[each] for each in names if each in found})


def check_names(names: Sequence[str]) -> None:
    """Refuse what is no column.

    Raises:
        ConfigError: the first that is none.
    """
    known = (*OF_SEGMENT, *OF_TOKENS)
    if not names or len(names) > MOST_NAMES:
        raise ConfigError(f"expected 1 to {MOST_NAMES} names, got {len(names)}", hint=_names(known))
    for each in names:
        if each not in known and not each.startswith(_CREDIT):
            raise ConfigError(f"no column is called {each[:80]!r}", hint=_names(known))


def segment_columns(head: Head, names: Sequence[str], segment: int) -> dict[str, Column]:
    """Return columns of one segment of an episode, [L] each; none where no tokens were recorded.

    Raises:
        ConfigError: there is no such segment.
        StoreError: the record is broken.
    """
    lengths = segment_lengths(head)
    if not lengths:
        return {}
    if not 0 <= segment < len(lengths):
        raise ConfigError(f"no segment {segment}: this episode has {len(lengths)}, from 0")
    first = sum(lengths[:segment])
    part = slice(first, first + lengths[segment])
    record = read_record(head, only=names, with_body=False)
    return {name: record.columns[name][part] for name in names if name in record.columns}


def segment_ids(head: Head, segment: int) -> Column | None:
    """Return the tokens of a segment, [L]; of the ones that were asked for last they are kept.

    Raises:
        ConfigError, StoreError: as `segment_columns`.
    """
    return _ids(_place(head), segment)


def segment_lengths(head: Head) -> tuple[int, ...]:
    """Return the tokens in each segment of an episode.

    Raises:
        StoreError: the record is broken.
    """
    found = _lengths.get(_place(head))
    return keep_lengths(head, read_record(head, only=()).body) if found is None else found


def keep_lengths(head: Head, body: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the same from the line of a record, and keep it: a long line takes long to be read.

    Raises:
        StoreError: it tells none.
    """
    with boundary(StoreError, f"{head.shard}: reading the episode at byte {head.offset}"):
        found = tuple(int(each["num_tokens"]) for each in body["segments"])
    while len(_lengths) >= _MOST_LENGTHS:
        _lengths.pop(next(iter(_lengths)), None)
    return _lengths.setdefault(_place(head), found)


Place = tuple[Path, int, int]

_MOST_LENGTHS = 64
_lengths: dict[Place, tuple[int, ...]] = {}


def _place(head: Head) -> Place:
    return head.shard, head.offset, head.stop


@lru_cache(maxsize=2)
def _ids(place: Place, segment: int) -> Column | None:
    """Return the tokens of a segment; those of a million take 4 MB, and are read in many parts."""
    column = segment_columns(_head(*place), ("token_ids",), segment).get("token_ids")
    return None if column is None else column.copy()  # lets go of the other segments


def _head(shard: Path, offset: int, stop: int) -> Head:
    head = next(read_heads(shard, schema=SCHEMA, start=offset), None)
    if head is not None and head.stop == stop:
        return head
    raise StoreError(f"{shard}: the episode at byte {offset} is gone")


def encode(columns: Mapping[str, Column]) -> bytes:
    """Return columns in the form above."""
    blobs: list[bytes | memoryview] = []
    entries, offset = [], 0
    for name, column in columns.items():
        dtype = _DTYPES[column.dtype.str[1:]]
        values = np.ascontiguousarray(column, dtype=f"<{dtype}")
        entries.append(
            {"name": name, "dtype": dtype, "shape": list(column.shape), "offset": offset}
        )
        rest = bytes(-values.nbytes % _ALIGNED)
        blobs += [values.view(np.uint8).data, rest]  # joined below without a copy of their own
        offset += values.nbytes + len(rest)
    header = to_json({"columns": entries})
    header += b" " * (-(_LENGTH.size + len(header)) % _ALIGNED)
    return b"".join([_LENGTH.pack(len(header)), header, *blobs])


def _noted_columns(index: Index, name: str, names: Sequence[str]) -> dict[str, Column]:
    if not names:
        return {}
    noted = read_noted(index, name, only=[OF_TOKENS[each] for each in names])
    if noted is None:
        return {}
    found = {each: noted.per_token(OF_TOKENS[each]) for each in names}
    return {each: values for each, values in found.items() if values is not None}


def _names(known: Sequence[str]) -> str:
    return f"columns: {', '.join(known)}, credit:LABEL"
