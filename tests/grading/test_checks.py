"""What each kind of check compares, refuses, and tells."""

import contextlib

import pytest

from agentgym.errors import SandboxDied
from agentgym.grading import (
    Absent,
    Calls,
    Case,
    Comparison,
    Contains,
    Equals,
    Files,
    Json,
    Programs,
    Run,
    Sha256,
    Suite,
    Tolerance,
    Word,
    collect,
    grade,
)
from agentgym.grading.comparing import same_output
from agentgym.grading.data import EXACT
from agentgym.sandbox import Limits, Sandboxes

sandbox = pytest.mark.sandbox
LIMITS = Limits(wall_s=2, cpu_s=1)

FUNCTIONS = b"""
class Own(ValueError):
    pass
def give(x):
    return x
def fail(name):
    raise {"own": Own, "value": ValueError, "key": KeyError}[name]("SECRET")
def sort(items, *, reverse=False):
    items.sort(reverse=reverse)
    return object() if reverse else None
def third(x):
    return x / 3
"""


async def words(sandboxes, check, artefacts):
    verdict = await grade(sandboxes, artefacts, [check], limits=LIMITS)
    return {id.partition("[")[2][:-1]: each.word for id, each in verdict.results.items()}


@sandbox
async def test_calls_compare_values_exceptions_and_changed_arguments(sandboxes: Sandboxes) -> None:
    async def judge(function, tolerance=EXACT, **cases):
        check = Calls(function=function, cases=cases, tolerance=tolerance)
        return await words(sandboxes, check, {"solution.py": FUNCTIONS})

    assert await judge(
        "give",
        same=Case(args=[{"a": [1, 2.5]}], returns={"a": [1, 2.5]}),
        type=Case(args=[1], returns=True),
        zero=Case(args=[0.0], returns=-0.0),
        nan=Case(args=[float("nan")], returns=float("nan")),
        named=Case(kwargs={"x": 1}, returns=1),
        none=Case(args=[None], returns=None),
        raises=Case(args=[1], raises=ValueError),
        arguments=Case(args=[1, 2], returns=1),
    ) == {
        "same": Word.PASSED,
        "type": Word.WRONG,
        "zero": Word.WRONG,
        "nan": Word.PASSED,
        "named": Word.PASSED,
        "none": Word.PASSED,
        "raises": Word.WRONG,
        "arguments": Word.RAISED,
    }
    assert await judge(
        "fail",
        value=Case(args=["value"], raises=ValueError),
        own=Case(args=["own"], raises="Own"),
        base=Case(args=["own"], raises=ValueError),
        other=Case(args=["key"], raises=LookupError),
        returns=Case(args=["key"], returns=1),
    ) == {
        "value": Word.PASSED,
        "own": Word.PASSED,
        "base": Word.RAISED,
        "other": Word.RAISED,
        "returns": Word.RAISED,
    }
    assert await judge(
        "sort",
        left=Case(args=[[2, 1]], returns=None, leaves=[[1, 2]]),
        only=Case(args=[[2, 1]], leaves=[[1, 2]]),
        wrong=Case(args=[[2, 1]], leaves=[[2, 1]]),
        opaque=Case(args=[[2, 1]], kwargs={"reverse": True}, leaves=[[2, 1]]),
    ) == {
        "left": Word.PASSED,
        "only": Word.PASSED,
        "wrong": Word.WRONG,
        "opaque": Word.WRONG,
    }
    near = Tolerance(absolute=0.01)
    assert await judge("third", near, a=Case(args=[1], returns=0.33)) == {"a": Word.PASSED}
    assert await judge("third", a=Case(args=[1], returns=0.33)) == {"a": Word.WRONG}
    assert await judge("nowhere", a=Case(args=[1], returns=1)) == {"a": Word.MISSING}


@sandbox
@pytest.mark.parametrize(
    ("artefacts", "word"),
    [
        ({}, Word.MISSING),
        ({"solution.py": None}, Word.MISSING),
        ({"solution.py": b"def give(x: return x"}, Word.LOADING),
        ({"solution.py": b"\xff\xfe"}, Word.LOADING),
        ({"solution.py": b"import part\ngive = part.give", "part.py": b"give = abs"}, Word.PASSED),
    ],
)
async def test_calls_need_their_file(sandboxes, artefacts, word) -> None:
    check = Calls(function="give", cases=[Case(args=[1], returns=1)])
    assert await words(sandboxes, check, artefacts) == {"0": word}


@sandbox
async def test_programs_compare_output_and_exit_code(sandboxes: Sandboxes) -> None:
    program = b"""
import os, sys
print(sys.stdin.read().strip(), *sys.argv[1:], " ")
for name in sorted(os.listdir()):
    if name.endswith(".txt"):
        print(open(name).read())
if "flood" in sys.argv:
    print("x" * 300000)
sys.exit(int("fail" in sys.argv) * 3)
"""
    cases = {
        "passed": Run(stdin="a", argv=["b"], stdout="a b\n"),
        "wrong": Run(stdin="a", argv=["b"], stdout="a c\n"),
        "code": Run(stdin="a", argv=["fail"], stdout="a fail"),
        "wanted code": Run(stdin="a", argv=["fail"], stdout="a fail", exit_code=3),
        "any code": Run(stdin="a", argv=["fail"], stdout="a fail", exit_code=None),
        "flood": Run(stdin="a", argv=["flood"], stdout="a flood"),
        "files": Run(stdin="a", files={"in.txt": b"held"}, stdout="a\nheld"),
    }
    assert await words(sandboxes, Programs(cases=cases), {"solution.py": program}) == {
        "passed": Word.PASSED,
        "wrong": Word.WRONG,
        "code": Word.RAISED,
        "wanted code": Word.PASSED,
        "any code": Word.PASSED,
        "flood": Word.OUTPUT,
        "files": Word.PASSED,
    }
    exact = Programs(cases=[Run(stdin="a", stdout="a\n")], comparison=Comparison.EXACT)
    assert await words(sandboxes, exact, {"solution.py": program}) == {"0": Word.WRONG}


@pytest.mark.parametrize(
    ("comparison", "want", "got", "is_same"),
    [
        ("exact", b"a\n", b"a\n", True),
        ("exact", b"a\n", b"a", False),
        ("lines", b"a \nb\n\n", b"a\nb", True),
        ("lines", b"a\r\nb", b"a\nb\n", True),
        ("lines", b" a", b"a", False),
        ("lines", b"a\n\nb", b"a\nb", False),
        ("tokens", b"a  b\n", b" a\nb ", True),
        ("tokens", b"ab", b"a b", False),
        ("tokens", b"1.0", b"1", False),
        ("numbers", b"x 1.0", b"x 1.0000001", True),
        ("numbers", b"1", b"1.1", False),
        ("numbers", b"1e3", b"1000", True),
        ("numbers", b"1", b"1_", False),
        ("numbers", b"1_0", b"10", False),
        ("numbers", b"nan", b"nan", True),
        ("numbers", b"1", b"nan", False),
        ("numbers", b"1", b"inf", False),
        ("numbers", b"1e308", b"1e999", False),
        ("numbers", b"1 2", b"1", False),
        ("numbers", b"one", b"1", False),
        ("numbers", b"1", b"1" + b"0" * 500, False),
    ],
)
def test_outputs_are_compared_as_declared(comparison, want, got, is_same) -> None:
    tolerance = Tolerance(relative=1e-6, absolute=1e-9)
    assert same_output(want, got, Comparison(comparison), tolerance) is is_same


@pytest.mark.parametrize(
    ("expected", "content", "passes"),
    [
        (Equals(b"a"), b"a", True),
        (Equals(b"a"), b"a\n", False),
        (Sha256("CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB"), b"a", True),
        (Sha256("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"), b"b", False),
        (Contains(b"a"), b"bab", True),
        (Contains(b"a"), b"bbb", False),
        (Json({"a": [1, 2.5, None]}), b' {"a": [1, 2.5, null]}\n', True),
        (Json({"a": 1, "b": 2}), b'{"b": 2, "a": 1}', True),
        (Json({"a": 1}), b'{"a": 1.0}', False),
        (Json(1), b"true", False),
        (Json({"a": 1}), b'{"a": 2, "a": 1}', False),
        (Json([]), b"[" * 200_000, False),
        (Json([]), b"[" * 100 + b"]" * 100, False),
        (Json(1), b"NaN", False),
        (Json(1), b"1" * 5000, False),
        (Json("é"), '"é"'.encode("latin-1"), False),
        (Json("é"), '"é"'.encode(), True),
        (Json(0.3, Tolerance(absolute=0.1)), b"0.31", True),
        (Absent(), b"", False),
        (Absent(), None, False),
        (Equals(b""), None, False),
    ],
)
async def test_files_are_compared_by_their_bytes(expected, content, passes) -> None:
    check = Files(expected={"out": expected})
    verdict = await grade(NoSandboxes(), {"out": content}, [check])
    assert verdict.passed is passes


async def test_a_file_is_absent_when_nothing_was_left() -> None:
    assert (await grade(NoSandboxes(), {}, [Files(expected={"out": Absent()})])).passed
    verdict = await grade(NoSandboxes(), {}, [Files(expected={"out": Equals(b"")})])
    assert not verdict.passed
    assert str(verdict) == "0 of 1 passed, 1 missing"


@sandbox
async def test_what_an_agent_left_is_collected_by_name(sandboxes: Sandboxes) -> None:
    async with sandboxes.lease() as place:
        await place.write_file("a.txt", b"a")
        await place.python("import os; os.symlink('/etc/passwd', 'l'); os.mkdir('d')")
        await place.write_file("big", b"x" * 2000)
        assert await collect(
            place, "a.txt", "l", "d", "big", "nowhere", "nowhere/at/all", most_bytes=1000
        ) == {"a.txt": b"a", "l": None, "d": None, "big": None}
        assert await collect(place, "../a") == {"../a": None}


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
@pytest.mark.parametrize("name", ["searches for the tests", "reads its memory for the tests"])
async def test_the_searches_would_find_tests_that_were_there(sandboxes, name) -> None:
    """Otherwise that they find none in the table of wrong solutions would mean nothing."""
    from agentgym.check.sandbox.solutions import WRONG

    async with sandboxes.lease() as place:
        await place.write_file("tests.py", b"HIDDEN-VALUE" * 100)
        code = f"hidden = 'HIDDEN-VALUE' * 100\n{WRONG[name]}\nprint(double(21))"
        result = await place.python(code)
    assert result.stdout == b"42\n", result


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


@sandbox
async def test_a_value_of_any_size_that_is_allowed_can_be_expected(sandboxes: Sandboxes) -> None:
    text = "x" * 1_000_000
    check = Calls(function="give", cases=[Case(args=[text], returns=text)])
    assert (await grade(sandboxes, {"solution.py": FUNCTIONS}, [check])).passed
