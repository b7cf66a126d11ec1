"""Calls: what is compared, and what a value costs nobody."""

import pytest
from grading.judging import FUNCTIONS, Recorder, words

from agentgym.grading import Calls, Case, Tolerance, Word, grade
from agentgym.grading.values import EXACT
from agentgym.sandbox import Sandboxes

sandbox = pytest.mark.sandbox


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
async def test_a_value_of_any_size_that_is_allowed_can_be_expected(sandboxes: Sandboxes) -> None:
    text = "x" * 1_000_000
    check = Calls(function="give", cases=[Case(args=[text], returns=text)])
    assert (await grade(sandboxes, {"solution.py": FUNCTIONS}, [check])).passed


async def test_what_enters_a_sandbox_depends_on_the_inputs_alone() -> None:
    """Not on what is expected, nor on its length: all of it can be read there."""
    wanted = [{"returns": True}, {"returns": "x" * 999}, {"raises": "E"}, {"leaves": [[1, 2, 3]]}]
    sandboxes = Recorder()
    for want in wanted:
        check = Calls(function="f", cases=[Case(args=[[1]], **want)])
        await grade(sandboxes, {"solution.py": b""}, [check])
    calls = [(code.partition("answer(b")[2], limits) for [_, (_, code, limits)] in sandboxes.asked]
    assert len({(call[call.index("name=") :], str(limits)) for call, limits in calls}) == 1


@sandbox
async def test_arguments_that_cannot_be_told_fail_only_where_they_are_asked_for(sandboxes) -> None:
    source = b"def keep(items):\n    items.append(object())\n    return 1"
    cases = {"any": Case(args=[[]], returns=1), "told": Case(args=[[]], returns=1, leaves=[[]])}
    found = await words(sandboxes, Calls(function="keep", cases=cases), {"solution.py": source})
    assert found == {"any": Word.PASSED, "told": Word.WRONG}
