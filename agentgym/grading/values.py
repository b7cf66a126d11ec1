"""Values from a sandbox, compared on this side: exact types, exact values, nothing of theirs runs.

No number that came from outside is ever hashed here: with chosen ones a small set could keep this
process busy for minutes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentgym.grading.inside.plain import decode, encode

MOST_BYTES = 1 << 20
"""Of one value as bytes."""
_BRACKETS = {"l": "[]", "t": "()", "S": "{}", "Z": "{}", "d": "{}"}
_MOST_BITS = 1000  # Python refuses to write integers of more than 4300 digits


@dataclass(frozen=True, slots=True)
class Container:
    """A list, tuple, set, frozenset or dict, by its tag; of a dict, keys and values in turn."""

    tag: str
    items: list[Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much floats may differ: the larger of the two counts."""

    relative: float = 0.0
    absolute: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.relative < 1 and 0 <= self.absolute < math.inf):
            raise ValueError(f"{self} allows anything: expected 0 <= relative < 1, 0 <= absolute")

    def allows(self, want: float, got: float) -> bool:
        """Whether it is near enough; what is not finite never is."""
        room = max(self.absolute, self.relative * abs(want))
        return math.isfinite(want) and math.isfinite(got) and abs(want - got) <= room


EXACT = Tolerance()


def parse(data: bytes, *, objects: bool = False) -> Any:
    """Return what bytes from a sandbox spell, each container as a `Container`.

    Args:
        data: Anybody's bytes.
        objects: Let there be objects of a solution in it.

    Raises:
        Malformed: they spell no plain data.
    """
    return decode(data, make=_MAKE, build=_maker("o") if objects else None)


def frozen(value: object) -> Any:
    """Return plain data of ours in the same form.

    Raises:
        NotPlain: it is none.
    """
    return parse(encode(value, most_bytes=MOST_BYTES))


def same(want: Any, got: Any, tolerance: Tolerance = EXACT) -> bool:
    """Whether two parsed values have equal types and values.

    True is not 1, 1 is not 1.0, -0.0 is not 0.0, NaN is NaN. Sets and dicts have no order. The
    tolerance is for floats, but not in sets and keys.
    """
    if type(want) is not type(got):
        return False
    if isinstance(want, Container):
        return want.tag == got.tag and _same_items(want, got, tolerance)
    if isinstance(want, float):
        return _same_float(want, got, tolerance)
    if isinstance(want, complex):
        return _same_float(want.real, got.real, tolerance) and _same_float(
            want.imag, got.imag, tolerance
        )
    return bool(want == got)


def _same_float(want: float, got: float, tolerance: Tolerance) -> bool:
    if math.isnan(want):
        return math.isnan(got)
    if tolerance == EXACT:
        return want == got and math.copysign(1, want) == math.copysign(1, got)
    return want == got or tolerance.allows(want, got)


def _same_items(want: Container, got: Container, tolerance: Tolerance) -> bool:
    if len(want.items) != len(got.items):
        return False
    if want.tag in "SZ":
        return sorted(map(_key, want.items)) == sorted(map(_key, got.items))
    ours, theirs = want.items, got.items
    if want.tag == "d":
        keyed, found = _by_key(want.items), _by_key(got.items)
        if [key for key, _ in keyed] != [key for key, _ in found]:
            return False
        ours, theirs = [value for _, value in keyed], [value for _, value in found]
    return all(same(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))


def _by_key(items: list[Any]) -> list[tuple[str, Any]]:
    pairs = [(_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True)]
    return sorted(pairs, key=lambda pair: pair[0])


def _key(value: Any) -> str:
    """Return a text that only the same values share."""
    if isinstance(value, Container):
        items = [_key(item) for item in value.items]
        if value.tag in "SZ":
            items.sort()
        return f"{value.tag}({','.join(items)})"
    if isinstance(value, float | bytes | bytearray):
        return f"{type(value).__name__}:{value.hex()}"
    return f"int:{value:x}" if type(value) is int else ascii(value)


def show(value: Any, most_chars: int = 200) -> str:
    """Return a parsed value for people to read, cut."""
    text = _show(value, most_chars)
    return text if len(text) <= most_chars else text[:most_chars] + " ..."


def _show(value: Any, most_chars: int) -> str:
    if not isinstance(value, Container):
        if type(value) is int and value.bit_length() > _MOST_BITS:
            return f"an integer of {value.bit_length()} bits"
        if isinstance(value, str | bytes | bytearray):
            value = value[: most_chars + 1]
        return ascii(value)
    parts: list[str] = []
    size = 0
    for item in value.items:
        if size > most_chars:
            break
        parts.append(_show(item, most_chars))
        size += len(parts[-1]) + 2
    return _bracketed(value.tag, parts)


def _bracketed(tag: str, parts: list[str]) -> str:
    if tag == "d":
        parts = [": ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    first, last = _BRACKETS[tag][0], _BRACKETS[tag][1]
    inner = ", ".join(parts) + ("," if tag == "t" and len(parts) == 1 else "")
    if tag in "SZ" and not parts:
        return "set()" if tag == "S" else "frozenset()"
    text = f"{first}{inner}{last}"
    return f"frozenset({text})" if tag == "Z" else text


def _maker(tag: str) -> Callable[[list[Any]], Container]:
    return lambda items: Container(tag, items)


_MAKE = {tag.encode(): _maker(tag) for tag in _BRACKETS}
