"""Suites: what tests see of a solution, and what is no evidence."""

import pytest

from agentgym.errors import TaskError
from agentgym.grading import Suite, Word, grade
from agentgym.sandbox import Limits, Sandboxes

pytestmark = pytest.mark.sandbox

SOLUTION = '''
import math

PI = 3.5
settings = {"depth": 3}

class Empty(IndexError):
    """Of a stack."""
    code = 7

class Broken(Empty, KeyError):
    def __init__(self, code):
        super().__init__(code)
        self.code = code
    def __str__(self):
        return f"broken {self.code}"

class Stack:
    """Last in, first out."""
    limit = 10
    def __init__(self, items=()):
        self.items = list(items)
    @classmethod
    def of(cls, *items):
        return cls(items)
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        if not self.items:
            raise Empty("nothing there")
        return self.items.pop()
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __getitem__(self, at):
        return self.items[at]
    def __setitem__(self, at, item):
        self.items[at] = item
    def __contains__(self, item):
        return item in self.items
    def __add__(self, other):
        return Stack(self.items + list(other))
    def __radd__(self, other):
        return Stack(list(other) + self.items)
    def __iadd__(self, other):
        self.items += other
        return self
    def __lt__(self, other):
        return len(self) < len(other)
    def __eq__(self, other):
        return self.items == other.items
    def __hash__(self):
        return 1
    def __repr__(self):
        return f"Stack({self.items})"
    def __enter__(self):
        return self
    def __exit__(self, *exc_info):
        self.items.clear()

class Deep(Stack):
    pass

def double(x):
    return 2 * x
def broken():
    raise Broken(5)
def count(n):
    yield from range(n)
def same(x):
    return x
def sort(rows):
    rows[0].sort()
    rows.insert(0, [9])
def fill(mapping, names, raw, *, more):
    mapping["a"] = mapping.pop("b")
    names.add("c")
    raw += b"!"
    more[0]["deep"].append(1)
def adder(n):
    return lambda x: x + n
counter = 0
def tick():
    global counter
    counter += 1
    return counter
def maximum(items):
    return max(items)
def kind_of(x):
    return type(x).__name__
'''

PASSING = {
    "calls": "assert double(21) == 42 and double(x='ab') == 'abab'",
    "data": "assert PI == 3.5 and settings == {'depth': 3}",
    "exact types": """
for value in (None, True, 1, 1.0, -0.0, 1j, "a", b"b", bytearray(b"c"), [1], (1,), {1}, {1: 2}):
    assert same(value) == value and type(same(value)) is type(value)
    assert kind_of(value) == type(value).__name__
assert same(frozenset({(1, 2)})) == frozenset({(1, 2)})
assert str(same(-0.0)) == "-0.0" and same(float("nan")) != 0
assert list(same({"b": 1, "a": 2})) == ["b", "a"]
assert same("\\ud800") == "\\ud800" and same(10 ** 5000) == 10 ** 5000
""",
    "instances": """
stack = Stack()
stack.push(1).push([2])
assert len(stack) == 2 and stack.pop() == [2] and stack.items == [1]
assert stack[0] == 1 and 1 in stack and 5 not in stack and list(stack) == [1]
assert repr(stack) == "Stack([1])" == str(stack) and f"{stack}" == "Stack([1])"
stack[0] = 4
stack.items = [7, 8]
assert stack.pop() == 8 and Stack.of(1, 2).pop() == 2 and Stack.limit == 10
assert (stack + [1]).items == [7, 1] and ([1] + stack).items == [1, 7]
before = stack
stack += [3]
assert stack is before and stack.items == [7, 3]
assert Stack() < stack and not Stack()
""",
    "classes": """
assert isinstance(Deep(), Deep) and isinstance(Deep(), Stack) and not isinstance(Stack(), Deep)
assert type(Stack()) is Stack and Stack.__name__ == "Stack" and issubclass(Deep, Stack)
assert same(Stack) is Stack
assert not isinstance(double, Stack)
""",
    "passing objects": """
stack = Stack([1])
assert same(stack) is stack and same([stack])[0] is stack
assert (Stack([0]) + stack).items == [0, 1]
""",
    "exceptions": """
with pytest.raises(Empty, match="^nothing") as caught:
    Stack().pop()
assert caught.type is Empty and str(caught.value) == "nothing there" and caught.value.code == 7
with pytest.raises(IndexError):
    Stack().pop()
with pytest.raises((ValueError, KeyError)) as caught:
    broken()
assert str(caught.value) == "broken 5" and caught.value.args == (5,) and caught.value.code == 5
try:
    broken()
except Empty as error:
    assert isinstance(error, KeyError)
else:
    raise AssertionError
with pytest.raises(TypeError, match="double"):
    double()
with pytest.raises(AttributeError):
    Stack().nothing
pytest.raises(ZeroDivisionError, lambda: 1 / 0)
""",
    "generators and closures": """
assert list(count(3)) == [0, 1, 2] and adder(2)(3) == 5
numbers = count(2)
assert next(numbers) == 0 and next(numbers) == 1
with pytest.raises(StopIteration):
    next(numbers)
""",
    "changed arguments": """
row = [3, 1]
rows = [row, [0]]
assert sort(rows) is None
assert rows == [[9], [1, 3], [0]] and rows[1] is row
mapping, names, raw, deep = {"b": 1}, {"x"}, bytearray(b"a"), []
fill(mapping, names, raw, more=({"deep": deep},))
assert (mapping, names, raw, deep) == ({"a": 1}, {"x", "c"}, b"a!", [1])
""",
    "a context": """
with Stack([1]) as stack:
    assert len(stack) == 1
assert len(stack) == 0
""",
    "approx": """
assert double(0.15) == pytest.approx(0.3) and same([0.1 + 0.2]) == pytest.approx([0.3])
assert same({"a": 1.0000001}) == pytest.approx({"a": 1}) and 1.05 == pytest.approx(1, abs=0.1)
assert double(1) != pytest.approx(2.1) and same([1, 2]) != pytest.approx([1])
assert same(float("nan")) != pytest.approx(float("nan"))
assert same(float("inf")) == pytest.approx(float("inf")) and 1e308 != pytest.approx(float("inf"))
""",
    "the module itself": """
import solution
assert solution.double(1) == 2 and solution.tick() == 1 and solution.counter == 1
solution.counter = 5
assert solution.tick() == 6
""",
}

IMPORTS = """
import pytest
from solution import PI, Broken, Deep, Empty, Stack, adder, broken, count, double, fill, kind_of
from solution import maximum, same, settings, sort, tick
"""


async def graded(sandboxes, tests, *, solution=SOLUTION, limits=None, **options):
    suite = Suite(source=tests, name="s", **options)
    return await grade(sandboxes, {"solution.py": solution.encode()}, [suite], limits=limits)


def one_test(body):
    return f"{IMPORTS}\ndef test():\n{indented(body)}"


def indented(body):
    return "".join(f"    {line}\n" for line in body.splitlines())


async def test_tests_see_the_solution_as_if_it_were_there(sandboxes: Sandboxes) -> None:
    bodies = [indented(body) for body in PASSING.values()]
    tests = IMPORTS + "".join(f"def test_{at}():\n{body}" for at, body in enumerate(bodies))
    verdict = await graded(sandboxes, tests)
    assert len(verdict.results) == len(PASSING)
    details = dict(zip(PASSING, (each.detail for each in verdict.results.values()), strict=True))
    assert verdict.passed, details


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("assert double(2) == 5", Word.WRONG),
        ("double(2, 3)", Word.RAISED),
        ("double(lambda: 0)", Word.RAISED),
        ("with pytest.raises(TypeError):\n    double(lambda: 0)", Word.RAISED),
        ("with pytest.raises(Exception):\n    Stack() == Stack()", Word.RAISED),
        ("assert Stack([4]) == 4", Word.WRONG),
        ("assert 4 in [Stack([4])]", Word.WRONG),
        ("assert {4: 1}[Stack([4])]", Word.RAISED),
        ("pytest.skip('later')", Word.SKIPPED),
        ("pytest.xfail('later')", Word.SKIPPED),
        ("pytest.fail('no')", Word.WRONG),
        ("with pytest.raises(ValueError):\n    double(1)", Word.WRONG),
        ("with pytest.raises(ValueError):\n    broken()", Word.RAISED),
        ("with pytest.raises(Empty, match='other'):\n    broken()", Word.WRONG),
        ("import os\nos._exit(0)", Word.NO_ANSWER),
        ("import sys\nsys.exit(0)", Word.RAISED),
        ("while True:\n    pass", Word.TIMEOUT),
        ("while True:\n    double(1)", Word.TIMEOUT),
        ("assert maximum([Stack([1]), Stack([1, 2])]) is None", Word.WRONG),
    ],
)
async def test_what_does_not_pass_has_its_word(sandboxes: Sandboxes, body: str, word: Word) -> None:
    limits = Limits(wall_s=0.5, cpu_s=1)
    verdict = await graded(sandboxes, one_test(body), limits=limits)
    assert [each.word for each in verdict.results.values()] == [word], verdict.results["s::test"]


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


EQUAL = """
from solution import Point, move
def test():
    assert move(Point(1), 2) == Point(3)
"""
POINT = """
class Point:
    def __init__(self, x):
        self.x = x
    def __eq__(self, other):
        return {answer}
def move(point, by):
    return Point(point.x + by{error})
"""


async def test_objects_of_the_solution_are_compared_by_it_only_when_asked(
    sandboxes: Sandboxes,
) -> None:
    right = POINT.format(answer="self.x == other.x", error="")
    wrong = POINT.format(answer="self.x == other.x", error="+ 1")
    lying = POINT.format(answer="True", error="+ 1")
    vague = POINT.format(answer="1", error="")
    passed = {
        (name, asked): (await graded(sandboxes, EQUAL, solution=each, ask_equality=asked)).passed
        for name, each in {"right": right, "wrong": wrong, "lying": lying, "vague": vague}.items()
        for asked in (False, True)
    }
    assert [each for each, is_passed in passed.items() if is_passed] == [
        ("right", True),
        ("lying", True),  # why it is off by default
    ]


FORGING = """
import os, sys
def double(x):
    frame = sys._getframe()
    while "mark" not in frame.f_locals:
        frame = frame.f_back
    harness = frame.f_locals["self"]
    from agentgym.grading.inside.plain import encode
    spell = lambda value: encode(value, most_bytes=1 << 20, spell=lambda inner: inner.said)
    class Object:
        def __init__(self, said):
            self.said = said
    os.write(harness._out, frame.f_locals["mark"] + {said})
    harness._out = os.open("/dev/null", os.O_WRONLY)
"""


@pytest.mark.parametrize(
    "said",
    [
        "b''",
        "b'\\xff' * 50",
        "spell(None)",
        "spell(('done', 'passed', ''))",
        "spell(('returned',))",
        "spell(('returned', 1, 2, 3, 4))",
        "spell(('returned', 0, [[1], [2]]))",
        "spell(('raised', ('SystemExit',), (0,), '', 3))",
        "spell(('raised', ('int',), (0,), '', 3))",
        "spell(('raised', ('AssertionError',), (0,), '', 3))",
        "spell(('raised', ('StopIteration',), (), '', 3))",
        "spell(('raised', ('a' * 99, 1, (('a', 1, ()),) * 9), (), '', 3))",
        "spell(('raised', ('x', [], ()), (), '', {}))",
        "spell(('returned', Object(('object', 1, ('int',))), []))",
        "spell(('returned', Object(('object', 1, ('ValueError',))), []))",
        "spell(('returned', Object(('class', ('int',))), []))",
        "spell(('returned', Object(('same', 5)), []))",
        "spell(('returned', Object(('done', 'passed')), []))",
        "spell(('returned', Object(Object(Object(('same', 0)))), []))",
        "spell(('returned', Object(('object', 1, ('x\\0', 1, ()))), []))",
        "spell(('returned', Object(('object', 1, ('x', 1, (('bool',), ('int',))))), []))",
    ],
)
async def test_forged_replies_pass_nothing(sandboxes: Sandboxes, said: str) -> None:
    assert (await forged(sandboxes, said)).fraction == 0


async def test_a_forged_reply_is_believed_where_it_is_right(sandboxes: Sandboxes) -> None:
    """Without this, the ones above could be refused for being badly made."""
    assert (await forged(sandboxes, "spell(('returned', 2, []))")).passed


async def forged(sandboxes, said):
    tests = "from solution import double\ndef test_it():\n    assert double(1) == 2\n"
    return await graded(sandboxes, tests, solution=FORGING.replace("{said}", said))
