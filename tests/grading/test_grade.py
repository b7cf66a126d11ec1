"""What holds for every kind of check."""

import contextlib

import pytest
from grading.judging import FUNCTIONS, LIMITS

from agentgym.errors import SandboxDied
from agentgym.grading import (
    Absent,
    Calls,
    Case,
    Contains,
    Equals,
    Files,
    Json,
    Programs,
    Run,
    Sha256,
    Suite,
    grade,
)
from agentgym.sandbox import Sandboxes

sandbox = pytest.mark.sandbox


class NoSandboxes:
    """Fails whoever asks for one."""

    info = None

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh=False):
        raise SandboxDied("the machinery failed")
        yield

    async def close(self):
        pass


@pytest.mark.parametrize(
    "check",
    [
        Calls(function="f", cases=[Case(returns=1)]),
        Programs(cases=[Run(stdout="1")]),
        Suite(source="def test(): pass"),
    ],
    ids=lambda check: check.name,
)
async def test_a_fault_of_the_machinery_is_no_grade(check) -> None:
    with pytest.raises(SandboxDied):
        await grade(NoSandboxes(), {"solution.py": b""}, [check])


class Spy:
    """Passes on real sandboxes and remembers how they were asked for."""

    def __init__(self, sandboxes) -> None:
        self.info = sandboxes.info
        self.asked: list[bool] = []
        self._sandboxes = sandboxes

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh=False):
        self.asked.append(fresh)
        async with self._sandboxes.lease(fresh=fresh) as place:
            yield place


@sandbox
async def test_every_check_takes_new_sandboxes(sandboxes: Sandboxes) -> None:
    spy = Spy(sandboxes)
    checks = [
        Calls(function="give", cases=[Case(args=[1], returns=1)]),
        Programs(cases=[Run(stdout="1")]),
        Suite(source="from solution import give\ndef test(): assert give(1) == 1"),
    ]
    artefacts = {"solution.py": b"print(1)\ndef give(x): return x"}
    verdict = await grade(spy, artefacts, checks)
    assert verdict.passed, verdict.results
    assert spy.asked == [True] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Calls(function="f", cases=[]),
        lambda: Case(args=[1]),
        lambda: Case(returns=1, raises=ValueError),
        lambda: Case(returns=object()),
        lambda: Case(args=[object()], returns=1),
        lambda: Programs(cases=[]),
        lambda: Programs(cases=[Run(stdout="\n")]),
        lambda: Programs(cases=[Run(stdout="1")], comparison="nearly"),
        lambda: Files(expected={}),
        lambda: Contains(b""),
        lambda: Sha256("ab"),
        lambda: Sha256("ab " * 32),
        lambda: Json(object()),
    ],
)
def test_a_check_that_would_prove_nothing_cannot_be_made(make) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


async def test_no_checks_and_equal_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="no checks"):
        await grade(NoSandboxes(), {}, [])
    check = Files(expected={"a": Absent()})
    with pytest.raises(ValueError, match="names of their own"):
        await grade(NoSandboxes(), {}, [check, check])


@sandbox
async def test_neither_text_nor_repr_of_a_grade_tells_what_is_hidden(sandboxes) -> None:
    secret = "SECRET"
    checks = [
        Calls(function="give", cases=[Case(args=[secret], returns=[secret])]),
        Calls(function="fail", cases=[Case(args=["value"], returns=secret)], name="fail"),
        Programs(cases=[Run(stdin=secret, stdout=secret)]),
        Files(expected={"a": Equals(secret.encode())}),
        Suite(
            source=f"import pytest\nfrom solution import give\n"
            f"@pytest.mark.parametrize('x', ['{secret}'])\ndef test(x): assert give(1) == x, x"
        ),
    ]
    artefacts = {"solution.py": FUNCTIONS, "a": b"b"}
    verdict = await grade(sandboxes, artefacts, checks, limits=LIMITS)
    assert verdict.fraction == 0
    assert secret not in f"{verdict} {verdict!r} {list(verdict.results)}"
    assert all(secret in each.detail for each in verdict.results.values())
    assert str(verdict) == "0 of 5 passed, 4 wrong, 1 raised"


@sandbox
async def test_details_are_cut_and_hold_nothing_a_terminal_obeys(sandboxes: Sandboxes) -> None:
    source = b"def give(x):\n    raise ValueError('\\x1b[2J\\u202e' * 5000)"
    check = Calls(function="give", cases=[Case(args=[1], returns=1)])
    verdict = await grade(sandboxes, {"solution.py": source}, [check])
    [result] = verdict.results.values()
    assert len(result.detail) < 500
    assert result.detail.isprintable()


@sandbox
async def test_what_a_program_prints_is_no_answer_and_no_fault(sandboxes: Sandboxes) -> None:
    source = b"""
import sys
def give(x):
    print("42" * 40_000)
    print("42" * 40_000, file=sys.stderr)
    return x
"""
    tests = "from solution import give\ndef test():\n    print(1)\n    assert give(1) == 1"
    checks = [Calls(function="give", cases=[Case(args=[1], returns=1)]), Suite(source=tests)]
    verdict = await grade(sandboxes, {"solution.py": source}, checks)
    assert verdict.passed, verdict.results
