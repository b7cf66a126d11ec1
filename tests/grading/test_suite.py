"""Suites: which tests there are, how they run, and what is no evidence."""

import asyncio
import contextlib

import pytest
from grading.judging import graded

from agentgym.errors import TaskError
from agentgym.grading import Suite, Word, grade
from agentgym.grading.place import fresh_pair
from agentgym.sandbox import Limits, Sandboxes

pytestmark = pytest.mark.sandbox

STRUCTURE = """
import functools
import pytest
from solution import Stack, double

seen = []

@pytest.fixture
def base():
    seen.append("base")
    return 1

@pytest.fixture(name="named")
def _other(base):
    yield [base, 2]
    seen.append("closed")

@pytest.fixture(autouse=True)
def always():
    seen.append("always")

def twice(function):
    @functools.wraps(function)
    def both(*args, **kwargs):
        function(*args, **kwargs)
        function(*args, **kwargs)
    return both

def test_fixtures(named, base):
    assert named == [1, 2] and seen == ["always", "base"]

@pytest.mark.slow
@pytest.mark.parametrize("x", [1, 2])
@pytest.mark.parametrize("y, z", [(1, 1), pytest.param(2, 2, id="two")])
def test_product(x, y, z):
    assert y == z and double(x) == x + x

@pytest.mark.parametrize("cls", [Stack])
def test_a_class_as_a_value(cls):
    assert cls([1]).pop() == 1

@twice
def test_wrapped(named):
    assert named

@pytest.mark.parametrize("x", [1])
class TestClass:
    value = 0

    @pytest.fixture
    def own(self, base):
        return base + 1

    def setup_method(self, method):
        self.value = 5

    def teardown_method(self):
        assert self.value in (5, 6)

    def test_a(self, own, x):
        assert self.value == 5 and own == 2 and x == 1
        self.value = 6

    def test_b(self, x):
        assert seen == ["always"]

@pytest.mark.parametrize(["x"], [(1,), pytest.param(2)])
def test_a_list_of_names(x):
    assert double(x) == x + x

def helper():
    raise AssertionError
"""


async def test_fixtures_parameters_and_classes_are_those_of_pytest(sandboxes: Sandboxes) -> None:
    verdict = await graded(sandboxes, STRUCTURE)
    assert verdict.passed, {id: each.detail for id, each in verdict.results.items()}
    assert list(verdict.results) == [
        "s::test_fixtures",
        *[f"s::test_product[{places}]" for places in ("0-0", "1-0", "0-1", "1-1")],
        "s::test_a_class_as_a_value[0]",
        "s::test_wrapped",
        "s::TestClass::test_a[0]",
        "s::TestClass::test_b[0]",
        "s::test_a_list_of_names[0]",
        "s::test_a_list_of_names[1]",
    ]


@pytest.mark.parametrize(
    "tests",
    [
        "",
        "def helper(): pass",
        "syntax error",
        "1 / 0",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "async def test(): pass",
        "def test(): yield",
        "test = 5\nclass Testing: pass",
        "import pytest\n@pytest.mark.skip\ndef test(): pass",
        "import pytest\n@pytest.mark.skipif(False, reason='')\ndef test(): pass",
        "import pytest\n@pytest.mark.xfail\ndef test(): assert 0",
        "import pytest\npytestmark = pytest.mark.skip\ndef test(): pass",
        "import pytest\n@pytest.mark.parametrize('x', [])\ndef test(x): pass",
        "import pytest\n@pytest.mark.parametrize('y', [1])\ndef test(x): pass",
        "import pytest\n@pytest.mark.parametrize()\ndef test(x): pass",
        "import pytest\n@pytest.mark.parametrize(['x'], [1])\ndef test(x): pass",
        "import pytest\n@pytest.mark.parametrize('x', [1], True)\ndef test(x): pass",
        "class TestA:\n    def test(self): pass\n    class TestB:\n        def test(self): pass",
        "def test(unknown): pass",
        "def setup_module(): pass\ndef test(): pass",
        "class TestA:\n    def __init__(self): pass\n    def test(self): pass",
        "class TestA:\n    pass",
        "import unittest\nclass A(unittest.TestCase):\n    def test(self): pass\ndef test(): pass",
        "from solution import double\ndouble(1)\ndef test(): pass",
        "from solution import PI\nif PI > 3:\n    def test(): pass",
        "from solution import Stack\nclass Mine(Stack): pass\ndef test(): pass",
        "from solution import *\ndef test(): pass",
        "import solution.part\ndef test(): pass",
        "import nowhere\ndef test(): pass",
        "while True: pass",
    ],
)
async def test_tests_that_are_no_evidence_are_refused_whatever_the_solution_is(
    sandboxes: Sandboxes, tests: str
) -> None:
    with pytest.raises(TaskError):
        await graded(sandboxes, tests, limits=Limits(wall_s=1, cpu_s=1))


async def test_every_test_begins_with_the_solution_newly_loaded(sandboxes: Sandboxes) -> None:
    tests = "from solution import tick\n"
    tests += "def test_a(): assert tick() == 1\ndef test_b(): assert tick() == 1\n"
    assert (await graded(sandboxes, tests)).passed


@pytest.mark.parametrize(
    ("solution", "word"),
    [
        ("1 / 0", Word.LOADING),
        ("", Word.LOADING),
        ("import os; os._exit(0)", Word.NO_ANSWER),
        ("while True: pass", Word.TIMEOUT),
        ("double = 5", Word.RAISED),
    ],
)
async def test_a_solution_that_cannot_be_used_passes_nothing(
    sandboxes: Sandboxes, solution: str, word: Word
) -> None:
    tests = "from solution import double\ndef test(): assert double(1) == 2"
    limits = Limits(wall_s=1, cpu_s=1)
    verdict = await graded(sandboxes, tests, solution=solution, limits=limits)
    assert [each.word for each in verdict.results.values()] == [word]


ALONE = """
import os, signal
def double(x):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            os.kill(int(name), signal.SIGKILL)
    return 2 * x
"""


async def test_a_solution_that_ends_what_it_runs_in_fails_and_spoils_no_grade(
    sandboxes: Sandboxes,
) -> None:
    tests = "from solution import double\n"
    tests += "".join(f"def test_{at}(): assert double(1) == 2\n" for at in range(3))
    verdict = await graded(sandboxes, tests, solution=ALONE)
    assert [each.word for each in verdict.results.values()] == [
        Word.PASSED,
        Word.KILLED,
        Word.PASSED,
    ]


async def test_without_its_file_every_test_is_missing(sandboxes: Sandboxes) -> None:
    verdict = await grade(sandboxes, {}, [Suite(source="def test(): pass")])
    assert [each.word for each in verdict.results.values()] == [Word.MISSING]


async def test_tests_with_the_same_id_are_told_apart_from_a_module_that_breaks_off(
    sandboxes: Sandboxes,
) -> None:
    twice = "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test(x): pass\n"
    with pytest.raises(TaskError, match="two have the same id"):
        await graded(sandboxes, twice + "globals()['test[0]'] = lambda: None")


async def test_what_is_imported_is_no_test_whatever_its_name_is(sandboxes: Sandboxes) -> None:
    solution = """
class Tester:
    def test(self): return 1
class TestError(Exception): pass
def testable(): return 2
test_data = [3]
"""
    tests = """
from solution import TestError, Tester, test_data, testable
def test_it():
    assert Tester().test() + testable() == test_data[0]
"""
    verdict = await graded(sandboxes, tests, solution=solution)
    assert verdict.passed, verdict.results
    assert list(verdict.results) == ["s::test_it"]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("with pytest.warns(): pass", "pytest.warns"),
        ("import pytest as p\n    p.importorskip('x')", "pytest.importorskip"),
        ("from pytest import approx, deprecated_call", "pytest.deprecated_call"),
    ],
)
def test_what_is_not_offered_of_pytest_is_told_when_the_suite_is_made(line, names) -> None:
    with pytest.raises(ValueError, match=f"{names} is not known here; there are pytest.mark"):
        Suite(source=f"import pytest\ndef test():\n    {line}")


async def test_suites_share_as_few_as_two_sandboxes() -> None:
    free = asyncio.Semaphore(2)

    class Few:
        @contextlib.asynccontextmanager
        async def lease(self, *, fresh):
            async with free:
                await asyncio.sleep(0)
                yield None

    async def hold() -> None:
        async with fresh_pair(few, {}, {}):
            await asyncio.sleep(0)

    few = Few()
    async with asyncio.timeout(5):
        await asyncio.gather(*(hold() for _ in range(4)))
