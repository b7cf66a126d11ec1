"""What goes to the terminal: JSON, columns, colours, and text of models made harmless."""

import json
import math
import os
import re
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, TypeVar

import typer

# C0 but tab and newline, DEL, C1, line and paragraph separators, directions, surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
R = TypeVar("R")
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_BARS = "▁▂▃▄▅▆▇█"


def echo(text: str = "") -> None:
    """Print a line to stdout."""
    typer.echo(text)


def note(text: str) -> None:
    """Print a line to stderr, where it disturbs no `--json`."""
    typer.echo(text, err=True)


def echo_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite become null."""
    echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))


def run_aside(work: Coroutine[Any, Any, R]) -> R:
    """Run code of environments: what that prints goes to stderr, where it disturbs no `--json`."""
    import asyncio

    with redirect_stdout(sys.stderr):
        try:
            return asyncio.run(work)
        finally:
            work.close()  # Ctrl-C may have come before it was begun


def echo_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns, as wide as they need to be; the last one is not padded."""
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    echo(paint(_columns([name.upper() for name in header], widths), "dim"))
    for row in cells:
        echo(_columns(row, widths))


def paint(text: str, *styles: str) -> str:
    """Colour text where stdout is a terminal and NO_COLOR is not set."""
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return text
    codes = ";".join(_CODES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def is_terminal() -> bool:
    """Whether people look at stdout as it is written."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def safe(text: str) -> str:
    r"""Make control characters visible, so that no text can command the terminal.

    >>> safe("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def short_path(text: str) -> str:
    """Return what names an environment as people type it: a file from the folder they are in."""
    here = os.getcwd() + os.sep
    return one_line(text.removeprefix(here))


def counted(number: int, what: str) -> str:
    """Return how many there are of what.

    >>> counted(1, "episode"), counted(2, "episode")
    ('1 episode', '2 episodes')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def one_line(text: str, limit: int | None = None) -> str:
    """Make text harmless and fit for a cell."""
    flat = safe(" ".join(text.split()))
    return flat if limit is None or len(flat) <= limit else flat[: limit - 1] + "…"


def short_digest(text: str) -> str:
    """Shorten a digest in text to what can still be told apart.

    >>> short_digest("python@sha256:9181bdce756cc34e65ab7c6f611264d4a56e95e98bf2b01e48cb5c16435dd397")
    'python@sha256:9181bdce756c'
    """
    return _DIGEST.sub(r"\1", text)


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values between 0 and 1, averaged into at most `width` bars.

    >>> sparkline([0, 0.5, 1])
    '▁▅█'
    """
    size = max(1, math.ceil(len(values) / width))
    chunks = [values[at : at + size] for at in range(0, len(values), size)]
    means = [min(1.0, max(0.0, sum(chunk) / len(chunk))) for chunk in chunks]
    return "".join(_BARS[round(mean * (len(_BARS) - 1))] for mean in means)


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
