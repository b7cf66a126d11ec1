"""Runs a page of the documentation: writes its files, types its commands, compares what they print.

A fenced block ```python title="calc.py" (or toml, or another language) is written as that file. A
block ```console holds lines that begin with `$ `, each with what it prints; `...` in there stands
for any text. Everything else is for reading.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_ELLIPSIS = "..."
_SLOW = re.compile(r"\s*\w+ \d+/\d+(  [\d.]+/s)?|.*all episodes stand still.*")  # of a slow machine


class File(NamedTuple):
    """A file that the reader writes."""

    name: str
    text: str


class Command(NamedTuple):
    """A line that the reader types, and what it prints."""

    line: str
    printed: str


def steps(page: Path) -> Iterator[File | Command]:
    """Yield what a reader of the page does, in order."""
    for kind, info, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        title = _TITLE.search(info)
        if title:
            yield File(title[1], text)
        elif kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                line, _, printed = part.partition("\n")
                yield Command(line, printed)


def follow(page: Path, folder: Path, *, env: Mapping[str, str] | None = None) -> int:
    """Do all of it in a folder, and return how many commands there were.

    Raises:
        AssertionError: a command printed something else.
    """
    count = 0
    for step in steps(page):
        if isinstance(step, File):
            path = folder / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        count += 1
        done = subprocess.run(
            ["bash", "-c", step.line],
            cwd=folder,
            env={**os.environ, "COLUMNS": "100", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert is_like(done.stdout, step.printed), (
            f"{page.name}: $ {step.line}\nexpected:\n{step.printed}\nprinted:\n{done.stdout}"
        )
    return count


def is_like(printed: str, expected: str) -> bool:
    """Return whether text is as expected; `...` stands for anything, trailing blanks for nothing."""
    wanted = "\n".join(line.rstrip() for line in expected.strip().splitlines())
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    got = "\n".join(line for line in lines if not _SLOW.fullmatch(line))
    pattern = ".*?".join(re.escape(part) for part in wanted.split(_ELLIPSIS))
    return re.fullmatch(pattern, got, re.DOTALL) is not None
