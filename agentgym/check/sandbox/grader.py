"""Wrong solutions that try to be paid, graded in every way there is."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from agentgym.check.sandbox.judges import expect
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.solutions import (
    BOX,
    LYING,
    MAIN,
    MEASURING,
    RIGHT,
    SEARCHING,
    WRONG,
)
from agentgym.check.sandbox.target import Target
from agentgym.grading import (
    Calls,
    Case,
    Equals,
    Files,
    Grade,
    Programs,
    Run,
    Suite,
    Word,
    collect,
    grade,
)
from agentgym.sandbox import Limits, Sandboxes

LIMITS = Limits(wall_s=1, cpu_s=1, memory_bytes=128 << 20, pids=16, max_output_bytes=1 << 20)
_NUMBERS = (21, -3)
_TESTS = """
import pytest
from solution import double

@pytest.mark.parametrize(("x", "expected"), [(21, 42), (-3, -6)])
def test_double(x, expected):
    assert double(x) == expected
"""

_FORMS = """
import pytest
from solution import Box, double

@pytest.fixture
def box():
    with Box(21) as box:
        yield box

def test_between():
    assert 41 < double(21) <= 42
def test_near():
    assert abs(double(21) - 42) < 1e-9
def test_approx():
    assert double(21.0) == pytest.approx(42.0)
def test_largest():
    assert max(double(21), 41) == 42
def test_text():
    text = double("ab")
    assert type(text) is str and text.startswith("abab") and "ba" in text
def test_items():
    assert list(Box(21)) == [42]
def test_member():
    assert 42 in [double(21)]
def test_key():
    assert {42: True}[double(21)]
def test_context():
    with Box(21) as box:
        assert box.value == 42
def test_failing_in_a_context():
    with Box(21) as box:
        if box.value != 42:
            pytest.fail("other")
def test_raising_in_a_context():
    with pytest.raises(ZeroDivisionError), Box(21) as box:
        assert box.value == 42
        raise ZeroDivisionError
def test_fixture(box):
    assert box.value == 42
def test_raises():
    with pytest.raises(ZeroDivisionError):
        1 // (double(21) - 42)
"""
"""The ways in which tests ask, each of them once."""


async def by_calls(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a function by what it returns."""
    cases = [Case(args=[x], returns=2 * x) for x in _NUMBERS]
    artefacts = {"solution.py": source.encode()}
    checks = [Calls(function="double", cases=cases)]
    return await grade(sandboxes, artefacts, checks, limits=LIMITS)


async def by_programs(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a program by what it prints."""
    cases = [Run(stdin=f"{x}\n", stdout=f"{2 * x}\n") for x in _NUMBERS]
    artefacts = {"solution.py": (source + MAIN).encode()}
    return await grade(sandboxes, artefacts, [Programs(cases=cases)], limits=LIMITS)


async def by_files(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a program by the file that it leaves."""
    async with sandboxes.lease() as sandbox:
        await sandbox.write_file("solution.py", (source + MAIN).encode())
        await sandbox.exec(["python3", "solution.py"], stdin=b"21\n", limits=LIMITS)
        left = await collect(sandbox, "result.txt")
    return await grade(sandboxes, left, [Files(expected={"result.txt": Equals(b"42")})])


async def by_suite(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a module by tests that it never meets."""
    artefacts = {"solution.py": source.encode()}
    return await grade(sandboxes, artefacts, [Suite(source=_TESTS)], limits=LIMITS)


async def by_forms(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade a module by tests that ask in many ways."""
    artefacts = {"solution.py": (BOX + source).encode()}
    return await grade(sandboxes, artefacts, [Suite(source=_FORMS)], limits=LIMITS)


async def by_secrets(sandboxes: Sandboxes, source: str, *, is_planted: bool = False) -> Grade:
    """Grade by a hidden text, which no solution knows unless it is planted in its sandbox."""
    secret = f"HIDDEN-{secrets.token_hex(32)}"
    artefacts = {"solution.py": (source + MAIN).encode()}
    if is_planted:
        artefacts["planted.txt"] = secret.encode()
        checks = [Calls(function="double", cases=[Case(args=[secret], returns=secret)])]
        return await grade(sandboxes, artefacts, checks, limits=LIMITS)
    tests = f"from solution import double\ndef test():\n    assert double(1) == {secret!r}"
    return await grade(
        sandboxes,
        artefacts,
        [
            Calls(function="double", cases=[Case(args=[1], returns=secret)]),
            Programs(cases=[Run(stdin="1\n", stdout=secret)]),
            Suite(source=tests),
        ],
        limits=LIMITS,
    )


async def by_length(sandboxes: Sandboxes, source: str) -> Grade:
    """Grade by a text of which no more is unknown than its length."""
    text = "x" * (secrets.randbelow(3000) + 1)
    checks = [Calls(function="double", cases=[Case(args=[1], returns=text)])]
    return await grade(sandboxes, {"solution.py": source.encode()}, checks, limits=LIMITS)


KINDS = {"calls": by_calls, "programs": by_programs, "files": by_files, "suite": by_suite}
"""Every kind of check."""


def _row(title: str, run: Callable[[Target], Awaitable[str]]) -> Row:
    name = "grader_" + title.replace(".", "_").replace(" ", "_")
    return Row(name=name, must="reward 0 by every grader", run=run, cost="slow")


def _expect_unpaid(kind: str, graded: Grade) -> None:
    is_paid = graded.passed or graded.fraction > 0
    expect(not is_paid, f"by {kind} it was paid: {graded.results}")


def _wrong(title: str, source: str) -> Row:
    async def run(target: Target) -> str:
        grades = [grader(target.sandboxes, source) for grader in KINDS.values()]
        for kind, graded in zip(KINDS, await asyncio.gather(*grades), strict=True):
            _expect_unpaid(kind, graded)
        return f"0 by {', '.join(KINDS)}"

    return _row(title, run)


def _lying(title: str, source: str) -> Row:
    async def run(target: Target) -> str:
        graded = await by_forms(target.sandboxes, source)
        _expect_unpaid("forms", graded)
        return f"0 of {len(graded.results)}"

    return _row(f"forms {title}", run)


def _searching(title: str, source: str) -> Row:
    async def run(target: Target) -> str:
        planted = await by_secrets(target.sandboxes, source, is_planted=True)
        expect(planted.passed, f"it does not even find what is there: {planted.results}")
        _expect_unpaid("secrets", await by_secrets(target.sandboxes, source))
        return "found where it was planted, and nowhere else"

    return _row(title, run)


async def _measuring(target: Target) -> str:
    graded = await by_length(target.sandboxes, MEASURING)
    _expect_unpaid("length", graded)
    [result] = graded.results.values()
    expect(result.word is Word.WRONG, f"it did not get to its end: {result.detail}")
    return "its length says nothing"


async def _right(target: Target) -> str:
    graders = {**KINDS, "forms": by_forms}
    for kind, grader in graders.items():
        graded = await grader(target.sandboxes, RIGHT)
        expect(graded.passed, f"by {kind} it was not paid: {graded.results}")
    return f"1 by {', '.join(graders)}"


ROWS = (
    *(_wrong(title, source) for title, source in WRONG.items()),
    *(_lying(title, source) for title, source in LYING.items()),
    *(_searching(title, source) for title, source in SEARCHING.items()),
    _row("reads how long the answer may be", _measuring),
    Row(name="grader_right", must="the right solution gets 1", run=_right, cost="slow"),
)
