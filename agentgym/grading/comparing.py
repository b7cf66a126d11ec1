"""What a program printed, compared with what it should have."""

import math
import re
from enum import StrEnum

from agentgym.grading.values import Tolerance

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_DIGITS = 400  # float() of a longer text takes time, and no double needs it


class Comparison(StrEnum):
    """What counts as the same output."""

    EXACT = "exact"
    """Every byte."""
    LINES = "lines"
    """But for blanks at the ends of lines and empty lines at the end."""
    TOKENS = "tokens"
    """But for how words are separated."""
    NUMBERS = "numbers"
    """As tokens; where both are decimal numbers, within the tolerance."""


def same_output(want: bytes, got: bytes, comparison: Comparison, tolerance: Tolerance) -> bool:
    """Whether it is the same."""
    if comparison is Comparison.EXACT:
        return want == got
    if comparison is Comparison.LINES:
        return _lines(want) == _lines(got)
    ours, theirs = want.split(), got.split()
    if comparison is Comparison.TOKENS or len(ours) != len(theirs):
        return ours == theirs
    return all(_same_token(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))


def is_empty(want: bytes, comparison: Comparison) -> bool:
    """Whether a program that prints nothing would print the same."""
    return same_output(want, b"", comparison, Tolerance())


def _lines(output: bytes) -> list[bytes]:
    return [line.rstrip() for line in output.rstrip().split(b"\n")]


def _same_token(want: bytes, got: bytes, tolerance: Tolerance) -> bool:
    if want == got:
        return True
    if len(got) > _MOST_DIGITS or not (_NUMBER.fullmatch(want) and _NUMBER.fullmatch(got)):
        return False
    ours, theirs = float(want), float(got)
    return math.isfinite(theirs) and tolerance.allows(ours, theirs)
