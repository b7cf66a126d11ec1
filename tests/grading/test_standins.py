"""Stand-ins: what tests see of a solution that is elsewhere."""

import pytest
from grading.judging import SOLUTION, graded, indented

from agentgym.errors import TaskError
from agentgym.grading import Word
from agentgym.sandbox import Limits, Sandboxes

pytestmark = pytest.mark.sandbox

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
assert not Stack()
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
    "other contexts": """
with Swallowing(ValueError) as seen:
    raise ValueError("own", [1])
assert seen.seen == [("ValueError", ("own", [1]))]
with pytest.raises(KeyError), Swallowing(ValueError) as seen:
    raise KeyError(1)
assert seen.seen == [("KeyError", (1,))]
with pytest.raises(Empty) as caught, Swallowing(ValueError) as seen:
    Stack().pop()
assert seen.seen == [("Empty", ("nothing there",))]
with pytest.raises(AssertionError), Swallowing(ValueError) as seen:
    assert seen is None, "SECRET"
assert seen.seen == [("AssertionError", ())]
""",
    "an enumeration": """
assert [each.value for each in Color] == ["r", "g"] and len(Color) == 2 and Color
assert Color["RED"] is Color.RED is Color("r") and Color.RED in Color
assert isinstance(Color.RED, Color) and Color.RED == same(Color.RED) is not Color.GREEN
""",
    "documentation": """
assert Stack.__doc__ == Stack().__doc__ == "Last in, first out." and double.__doc__ is None
""",
    "Python's own": """
import json
import math
assert convert("3", int) == 3 and convert(-3, abs) == 3 and convert(4.0, math.sqrt) == 2
with pytest.raises(json.JSONDecodeError, match="Expecting value") as caught:
    parsed("[")
assert caught.value.pos == 1
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
from solution import PI, Broken, Color, Deep, Empty, Stack, Swallowing, adder, broken, convert, count
from solution import double, fill, kind_of, maximum, parsed, same, settings, sort, tick
"""


def one_test(body):
    return f"{IMPORTS}\ndef test():\n{indented(body)}"


async def test_tests_see_the_solution_as_if_it_were_there(sandboxes: Sandboxes) -> None:
    bodies = [indented(body) for body in PASSING.values()]
    tests = IMPORTS + "".join(f"def test_{at}():\n{body}" for at, body in enumerate(bodies))
    verdict = await graded(sandboxes, tests)
    assert len(verdict.results) == len(PASSING)
    details = dict(zip(PASSING, (each.detail for each in verdict.results.values()), strict=True))
    assert verdict.passed, {what: why for what, why in details.items() if why}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("assert double(2) == 5", Word.WRONG),
        ("double(2, 3)", Word.RAISED),
        ("same({}).update(a=double)\ndouble({}.items())", Word.RAISED),
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
        ("assert Stack() < Stack([1])", Word.RAISED),
        ("with Stack() as stack:\n    assert len(stack) == 1", Word.WRONG),
    ],
)
async def test_what_does_not_pass_has_its_word(sandboxes: Sandboxes, body: str, word: Word) -> None:
    limits = Limits(wall_s=0.5, cpu_s=1)
    verdict = await graded(sandboxes, one_test(body), limits=limits)
    assert [each.word for each in verdict.results.values()] == [word], verdict.results["s::test"]


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
        (name, asked): (await graded(sandboxes, EQUAL, solution=each, ask_comparisons=asked)).passed
        for name, each in {"right": right, "wrong": wrong, "lying": lying, "vague": vague}.items()
        for asked in (False, True)
    }
    assert [each for each, is_passed in passed.items() if is_passed] == [
        ("right", True),
        ("lying", True),  # why it is off by default
    ]


YES = """
class Any:
    __sub__ = __rsub__ = __add__ = __abs__ = __enter__ = lambda self, *_: self
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = lambda self, other: True
    __exit__ = lambda self, *_: True
    def __getattr__(self, name):
        raise ValueError(name)
def root(x):
    return Any()
"""


@pytest.mark.parametrize(
    "body",
    [
        "assert abs(root(2.0) - 1.41421) < 1e-4",
        "assert 1 <= root(5) <= 3",
        "assert 3 >= root(5) > 1",
        "with root(4) as x:\n    assert x == 2",
        "with root(4) as x:\n    pytest.fail('no')",
        "with root(4) as x:\n    x < 3",
        "with root(4) as x:\n    y = x.value\n    assert y == 5",
        "with root(4) as x:\n    y = [0][2]\n    assert y == 5",
        "with pytest.raises(ValueError), root(4) as x:\n    assert x == 2",
    ],
)
async def test_yes_to_everything_is_no_evidence(sandboxes: Sandboxes, body: str) -> None:
    tests = f"import pytest\nfrom solution import root\ndef test():\n{indented(body)}"
    assert (await graded(sandboxes, tests, solution=YES)).fraction == 0


async def test_order_is_asked_of_the_solution_when_that_is_wanted(sandboxes: Sandboxes) -> None:
    tests = one_test("assert Stack() < Stack([1])\nassert sorted([Stack([1]), Stack()])[1].items")
    assert (await graded(sandboxes, tests, ask_comparisons=True)).passed
    assert not (await graded(sandboxes, tests)).passed


@pytest.mark.parametrize(
    "body",
    [
        "double(lambda: 0)",
        "with pytest.raises(BaseException):\n    double(lambda: 0)",
        "class Own: pass\ndouble(Own)",
        "import decimal\nsame([decimal.Decimal(1)])",
        "with pytest.raises(ValueError, check=bool):\n    double(1)",
    ],
)
async def test_what_no_solution_could_be_asked_is_the_fault_of_the_tests(sandboxes, body) -> None:
    for solution in (SOLUTION, "def __getattr__(name):\n    return lambda *_: 0"):
        with pytest.raises(TaskError, match="tests cannot be graded by: test, line"):
            await graded(sandboxes, one_test(body), solution=solution)


async def test_a_solution_cannot_put_the_blame_on_the_tests(sandboxes: Sandboxes) -> None:
    """Where the right one gives a list, no object of a wrong one is asked what it cannot be."""
    tests = "from solution import double, same\ndef test():\n    same([1]).sort(key=lambda x: x)"
    lying = "class Fake:\n    sort = {}\ndef double(*_, **__): pass\ndef same(x):\n    return Fake"
    for sort in ("double", "len", "lambda *_, **__: None"):
        solution = lying.replace("sort = {}", "pass") + f"()\nFake.sort = staticmethod({sort})"
        verdict = await graded(sandboxes, tests, solution=solution)
        assert [each.word for each in verdict.results.values()] == [Word.RAISED]


async def test_what_a_call_did_to_its_arguments_is_done_before_the_test_goes_on(sandboxes) -> None:
    """So that a value which is computed after the call may be computed of anything."""
    tests = """
from solution import in_order
def test_after():
    items = [3, 1]
    assert in_order(items) == sorted(items)
def test_before():
    items = [3, 1]
    expected = sorted(items)
    assert in_order(items) == expected
"""
    clearing = "def in_order(items):\n    items.clear()\n    return items"
    verdict = await graded(sandboxes, tests, solution=clearing)
    assert [each.word for each in verdict.results.values()] == [Word.PASSED, Word.WRONG]
