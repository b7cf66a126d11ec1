"""What became of each thing that was checked, and what a program's end says of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agentgym.sandbox import ExecResult, Status

_MOST_DETAIL = 400
_UNPRINTABLE = re.compile(r"[^\n\x20-\x7e]")


class Word(StrEnum):
    """A verdict in a word. Says nothing of what was expected."""

    PASSED = "passed"
    WRONG = "wrong"
    RAISED = "raised"
    LOADING = "does not load"
    MISSING = "missing"
    NO_ANSWER = "no answer"
    SKIPPED = "skipped"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "too much output"
    KILLED = "killed"


_ENDS: Mapping[Status, Word] = MappingProxyType(
    {
        Status.EXITED: Word.NO_ANSWER,
        Status.SIGNALED: Word.KILLED,
        Status.TIMEOUT: Word.TIMEOUT,
        Status.CPU_LIMIT: Word.TIMEOUT,
        Status.OOM: Word.MEMORY,
        Status.OUTPUT_LIMIT: Word.OUTPUT,
    }
)


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one id."""

    id: str
    word: Word
    detail: str = field(default="", repr=False)
    """For people only: it may name inputs and expected values."""

    @property
    def passed(self) -> bool:
        """Whether there is evidence that it is right."""
        return self.word is Word.PASSED


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on a piece of work. Its text holds no hidden value; the details may."""

    results: Mapping[str, Result]

    @property
    def passed(self) -> bool:
        """Whether there is something that was checked, and all of it passed."""
        return bool(self.results) and all(each.passed for each in self.results.values())

    @property
    def timed_out(self) -> bool:
        """Whether a time limit ended any of it."""
        return any(each.word is Word.TIMEOUT for each in self.results.values())

    @property
    def fraction(self) -> float:
        """How much of it passed, from 0 to 1."""
        return sum(each.passed for each in self.results.values()) / max(1, len(self.results))

    def __str__(self) -> str:
        words = [each.word.value for each in self.results.values() if not each.passed]
        counts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
        passed = f"{len(self.results) - len(words)} of {len(self.results)} passed"
        return ", ".join([passed, *counts])


def word_for(result: ExecResult) -> Word:
    """Return the verdict on a program that ended in the place of an answer."""
    return _ENDS[result.status]


def explain(result: ExecResult) -> str:
    """Return how a program ended, and what it said last on stderr, for people."""
    end = f"{result.status}, exit code {result.exit_code}, signal {result.signal}"
    return clean(f"{end}: {result.stderr.decode('utf-8', 'replace')[-_MOST_DETAIL:].strip()}")


def clean(text: str) -> str:
    """Drop what a terminal could obey, and the rest of a long text."""
    text = _UNPRINTABLE.sub("?", text)
    return text if len(text) <= _MOST_DETAIL else text[:_MOST_DETAIL] + " ..."


def unique(results: Sequence[Result]) -> dict[str, Result]:
    """Return results by their ids.

    Raises:
        ValueError: two have the same.
    """
    by_id = {each.id: each for each in results}
    if len(by_id) < len(results):
        raise ValueError("two checks have the same ids; give them names of their own")
    return by_id
