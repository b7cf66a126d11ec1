"""Plain data as bytes: all that passes between a sandbox and the host.

Types are exact: a value of a subclass is no plain data. What is the same object twice arrives as
two. A value is a tag, a size and its body; the size counts bytes, or the values inside.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_HEAD = struct.Struct(">cI")
MOST_DEPTH = 64
_DOUBLE = struct.Struct(">d")
_COMPLEX = struct.Struct(">dd")
_OBJECT = b"o"


class NotPlain(ValueError):  # noqa: N818
    """Raised when a value is no plain data, nests too deep or is too large."""


class Malformed(Exception):  # noqa: N818
    """Raised when bytes do not spell plain data."""


def encode(
    value: object, *, most_bytes: int, spell: "Callable[[object], object] | None" = None
) -> bytes:
    """Spell a value; `spell` puts plain data in the place of what is none.

    Raises:
        NotPlain: it cannot be spelled in so many bytes.
    """
    parts: list[bytes] = []
    left = most_bytes

    def put(tag: bytes, size: int, body: bytes = b"") -> None:
        nonlocal left
        left -= _HEAD.size + len(body)
        if left < 0:
            raise NotPlain(f"more than {most_bytes} bytes")
        parts.append(_HEAD.pack(tag, size))
        parts.append(body)

    def add(value: object, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise NotPlain(f"nested more than {MOST_DEPTH} deep")
        kind: Any = type(value)
        if kind in _LEAVES:
            tag, spelled = _LEAVES[kind]
            body = spelled(value)
            put(tag, len(body), body)
        elif kind in _CONTAINERS:
            tag, listed = _CONTAINERS[kind]
            items = listed(value)
            put(tag, len(items))
            for item in items:
                add(item, depth + 1)
        elif spell is not None:
            put(_OBJECT, 1)
            add(spell(value), depth + 1)
        else:
            raise NotPlain(f"of type {kind.__name__}")

    add(value, 0)
    return b"".join(parts)


def decode(
    data: bytes,
    *,
    make: "Mapping[bytes, Callable[[list[Any]], object]] | None" = None,
    build: "Callable[[Any], object] | None" = None,
) -> "Any":
    """Return the value that bytes spell.

    Args:
        data: Anybody's bytes.
        make: Makes each container, by its tag, in the place of Python's own.
        build: Makes an object of what `spell` said of it.

    Raises:
        Malformed: they spell none. Nothing else is raised, whatever they are, unless by `build`.
    """
    make = make or _MAKE
    at = 0

    def read(depth: int) -> object:
        nonlocal at
        if depth > MOST_DEPTH or len(data) - at < _HEAD.size:
            raise Malformed("too deep, or cut off")
        tag, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if tag in _READ:
            if size > len(data) - at:
                raise Malformed("a body is cut off")
            at += size
            return _leaf(tag, data[at - size : at])
        if size * _HEAD.size > len(data) - at:
            raise Malformed("items are missing")
        items = [read(depth + 1) for _ in range(size)]
        if tag == _OBJECT and build is not None and size == 1:
            return build(items[0])
        return _container(tag, items, make)

    value = read(0)
    if at != len(data):
        raise Malformed("bytes are left over")
    return value


def _leaf(tag: bytes, body: bytes) -> object:
    try:
        return _READ[tag](body)
    except (ValueError, struct.error, KeyError) as error:
        raise Malformed(f"no value of {tag!r}") from error


def _container(
    tag: bytes, items: "list[Any]", make: "Mapping[bytes, Callable[[list[Any]], object]]"
) -> object:
    if tag not in make or (tag == b"d" and len(items) % 2):
        raise Malformed(f"no container of {tag!r}")
    try:
        return make[tag](items)
    except TypeError as error:  # what cannot be hashed
        raise Malformed(str(error)) from error


def flat(value: "dict[Any, Any]") -> "list[Any]":
    """Return keys and values in turn."""
    return [each for pair in value.items() for each in pair]


def _pairs(items: "list[Any]") -> "dict[Any, Any]":
    return dict(zip(items[::2], items[1::2]))


def _spell_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _read_int(body: bytes) -> int:
    return int.from_bytes(body, "big", signed=True)


_SINGLETONS = {b"N": None, b"T": True, b"F": False}
_LEAVES: "dict[Any, tuple[bytes, Callable[[Any], bytes]]]" = {
    type(None): (b"0", lambda value: b"N"),
    bool: (b"0", lambda value: b"T" if value else b"F"),
    int: (b"i", _spell_int),
    float: (b"f", _DOUBLE.pack),
    complex: (b"c", lambda value: _COMPLEX.pack(value.real, value.imag)),
    str: (b"s", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"b", bytes),
    bytearray: (b"B", bytes),
}
_READ: "dict[bytes, Callable[[bytes], object]]" = {
    b"0": _SINGLETONS.__getitem__,
    b"i": _read_int,
    b"f": lambda body: _DOUBLE.unpack(body)[0],
    b"c": lambda body: complex(*_COMPLEX.unpack(body)),
    b"s": lambda body: body.decode("utf-8", "surrogatepass"),
    b"b": bytes,
    b"B": bytearray,
}
_CONTAINERS: "dict[Any, tuple[bytes, Callable[[Any], list[Any]]]]" = {
    list: (b"l", list),
    tuple: (b"t", list),
    set: (b"S", list),
    frozenset: (b"Z", list),
    dict: (b"d", flat),
}
_MAKE: "dict[bytes, Callable[[list[Any]], object]]" = {
    b"l": list,
    b"t": tuple,
    b"S": set,
    b"Z": frozenset,
    b"d": _pairs,
}
