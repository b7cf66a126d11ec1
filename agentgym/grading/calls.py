"""Checks a function: one process for each case, and the value compared on this side."""

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentgym.grading.bundle import bundle
from agentgym.grading.inside.plain import Malformed, encode
from agentgym.grading.place import Artefacts, by_id, check_each, roomy
from agentgym.grading.values import (
    EXACT,
    MOST_BYTES,
    Container,
    Tolerance,
    frozen,
    parse,
    same,
    show,
)
from agentgym.grading.verdict import Result, Word, clean, explain, word_for
from agentgym.sandbox import ExecResult, Limits, Sandbox, Sandboxes, Status

_MARK_BYTES = 16
_MOST_ANSWER_BYTES = MOST_BYTES + 4096
"""Of every answer, whatever is expected: the limit is known where the solution runs."""


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call and what must come of it: a value, an exception, or changed arguments.

    All of it is plain data: None, bool, int, float, complex, str, bytes, bytearray, list, tuple,
    set, frozenset and dict, of exactly these types.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    returns: Any = UNSET
    raises: type[BaseException] | str | None = None
    """Exactly this exception; one that the program defines, by its name."""
    leaves: Sequence[Any] | None = None
    """What the positional arguments must be afterwards."""

    def __post_init__(self) -> None:
        is_told = (self.returns is not UNSET) or bool(self.leaves)
        if is_told == (self.raises is not None):
            raise ValueError(f"{self!r}: expected `returns` or `leaves`, or else `raises`")
        self.inputs()
        value = None if self.returns is UNSET else self.returns
        encode((value, list(self.leaves or [])), most_bytes=MOST_BYTES)

    def inputs(self) -> bytes:
        """Return the arguments as bytes."""
        return encode((tuple(self.args), dict(self.kwargs)), most_bytes=MOST_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls a function of a Python file of the artefacts; each case by its id."""

    function: str
    cases: Mapping[str, Case] | Sequence[Case]
    file: str = "solution.py"
    tolerance: Tolerance = EXACT
    """For floats."""
    name: str = "calls"

    def __post_init__(self) -> None:
        if not self.cases:
            raise ValueError("no cases: nothing would be checked")

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for each case."""
        cases = by_id(self.name, self.cases)
        source = artefacts.get(self.file)
        if not isinstance(source, bytes):
            return [Result(id, Word.MISSING, f"no file {self.file}") for id in cases]
        check = functools.partial(self._check, source=source, limits=limits)
        return await check_each(sandboxes, artefacts, cases, check)

    async def _check(
        self, sandbox: Sandbox, id: str, case: Case, *, source: bytes, limits: Limits
    ) -> tuple[Result, bool]:
        mark = secrets.token_bytes(_MARK_BYTES)
        ended = await sandbox.python(
            bundle("plain", "program", "call") + self._call(case, mark, source),
            limits=roomy(limits, _MARK_BYTES + _MOST_ANSWER_BYTES),
        )
        word, detail = self._judge(case, ended, mark)
        return Result(id, word, clean(detail)), ended.sandbox_lost

    def _call(self, case: Case, mark: bytes, source: bytes) -> str:
        """Return the call of `answer`; of two cases, only mark and inputs differ in it."""
        module = self.file.rpartition("/")[2].removesuffix(".py")
        return (
            f"answer({mark!r}, name={module!r}, source={source!r}, function={self.function!r},"
            f" inputs={case.inputs()!r}, most_bytes={_MOST_ANSWER_BYTES})\n"
        )

    def _judge(self, case: Case, ended: ExecResult, mark: bytes) -> tuple[Word, str]:
        if ended.status is not Status.EXITED or not ended.stdout.startswith(mark):
            return word_for(ended), explain(ended)
        try:
            said = parse(ended.stdout[len(mark) :])
        except Malformed as error:
            return Word.NO_ANSWER, str(error)
        match said:
            case Container("t", ["returned", value]):
                return self._judge_value(case, value, None)
            case Container("t", ["returned", value, Container("t", after)]):
                return self._judge_value(case, value, after)
            case Container("t", ["raised", str(kind), str(text)]):
                return _judge_error(case, kind, text)
            case Container("t", ["unloadable", str(kind), str(text)]):
                return Word.LOADING, f"{kind}: {text}"
            case Container("t", ["missing"]):
                return Word.MISSING, f"no function {self.function}"
            case Container("t", ["opaque", str(why)]):
                return Word.WRONG, f"{_told(case)} returned no plain data: {why}"
        return Word.NO_ANSWER, "something else than an answer"

    def _judge_value(self, case: Case, value: Any, after: list[Any] | None) -> tuple[Word, str]:
        if case.raises is not None:
            return Word.WRONG, f"{_told(case)} returned {show(value)}, expected {case.raises}"
        if case.returns is not UNSET:
            want = frozen(case.returns)
            if not same(want, value, self.tolerance):
                return Word.WRONG, f"{_told(case)} returned {show(value)}, expected {show(want)}"
        if case.leaves is not None:
            if after is None:
                return Word.WRONG, f"{_told(case)} left no plain data, or too much"
            want, left = frozen(list(case.leaves)), Container("l", after)
            if not same(want, left, self.tolerance):
                return Word.WRONG, f"{_told(case)} left {show(left)}, expected {show(want)}"
        return Word.PASSED, ""


def _judge_error(case: Case, kind: str, text: str) -> tuple[Word, str]:
    wanted = case.raises
    if wanted is not None and kind == (wanted if isinstance(wanted, str) else wanted.__name__):
        return Word.PASSED, ""
    return Word.RAISED, f"{_told(case)} raised {kind}: {text}"


def _told(case: Case) -> str:
    return f"a call with {show(frozen((tuple(case.args), dict(case.kwargs))))}"
