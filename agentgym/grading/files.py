"""Checks the bytes of files; nothing runs."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.grading.inside.plain import MOST_DEPTH
from agentgym.grading.place import ABSENT, Artefacts
from agentgym.grading.values import EXACT, Container, Tolerance, frozen, same, show
from agentgym.grading.verdict import Result, Word, clean
from agentgym.sandbox import Limits, Sandboxes

_SHA256 = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Equals:
    """The file is these bytes."""

    content: bytes

    def judge(self, content: bytes) -> str:
        """Return what is wrong; empty: nothing."""
        return "" if content == self.content else f"is {show(content)}, not {show(self.content)}"


@dataclass(frozen=True, slots=True)
class Sha256:
    """The file has this digest, in hexadecimal."""

    digest: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.digest):
            raise ValueError(
                f"{self.digest!r} is no SHA-256 digest: expected 64 hexadecimal digits"
            )

    def judge(self, content: bytes) -> str:
        """Return what is wrong; empty: nothing."""
        digest = hashlib.sha256(content).hexdigest()
        return "" if digest == self.digest.lower() else f"has the digest {digest}"


@dataclass(frozen=True, slots=True)
class Contains:
    """The file holds these bytes somewhere. Whoever writes all words down passes as well."""

    part: bytes

    def __post_init__(self) -> None:
        if not self.part:
            raise ValueError("every file contains nothing: expected some bytes")

    def judge(self, content: bytes) -> str:
        """Return what is wrong; empty: nothing."""
        return "" if self.part in content else f"does not contain {show(self.part)}"


@dataclass(frozen=True, slots=True)
class Json:
    """The file is one JSON value equal to this one: 1 is not 1.0, and no key stands twice."""

    value: Any
    tolerance: Tolerance = EXACT

    def __post_init__(self) -> None:
        frozen(self.value)

    def judge(self, content: bytes) -> str:
        """Return what is wrong; empty: nothing."""
        try:
            got = _parsed(content)
        except ValueError as error:
            return f"is no JSON: {error}"
        return "" if same(frozen(self.value), got, self.tolerance) else f"is {show(got)}"


class Absent:
    """There is nothing of this name: what could not be read, or was not looked for, is not absent."""

    def judge(self, content: bytes) -> str:
        """Return what is wrong."""
        return f"is there: {show(content)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Compares files by their paths."""

    expected: Mapping[str, Equals | Sha256 | Contains | Json | Absent]
    name: str = "files"

    def __post_init__(self) -> None:
        if not self.expected:
            raise ValueError("no files: nothing would be checked")

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for each file."""
        return [self._check(path, artefacts) for path in self.expected]

    def _check(self, path: str, artefacts: Artefacts) -> Result:
        expected, id = self.expected[path], f"{self.name}[{path}]"
        left = artefacts.get(path)
        if isinstance(left, bytes):
            fault = expected.judge(left)
            return Result(id, Word.WRONG if fault else Word.PASSED, clean(fault))
        if left is ABSENT and isinstance(expected, Absent):
            return Result(id, Word.PASSED)
        why = "is no file that can be read" if path in artefacts else "was not collected"
        return Result(id, Word.MISSING, "is not there" if left is ABSENT else why)


def _parsed(content: bytes) -> Any:
    """Return a JSON value in the form of parsed data.

    Raises:
        ValueError: it is none, or nests too deep.
    """
    try:
        value = json.loads(content, object_pairs_hook=_object, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    return _contained(value, 0)


def _object(pairs: list[tuple[str, Any]]) -> Container:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return Container("d", [each for pair in pairs for each in pair])


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _contained(value: Any, depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise ValueError("it nests too deep")
    if isinstance(value, Container):
        return Container("d", [_contained(each, depth + 1) for each in value.items])
    if isinstance(value, list):
        return Container("l", [_contained(each, depth + 1) for each in value])
    return value
