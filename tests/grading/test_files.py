"""Files: what their bytes must be, and how they are collected."""

import functools
import json

import pytest

from agentgym.grading import (
    ABSENT,
    Absent,
    Contains,
    Equals,
    Files,
    Json,
    Sha256,
    Tolerance,
    Word,
    collect,
    grade,
)
from agentgym.sandbox import Sandboxes

sandbox = pytest.mark.sandbox


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
    verdict = await grade(None, {"out": content}, [check])
    assert verdict.passed is passes


@pytest.mark.parametrize(
    ("left", "word"),
    [
        ({"out": ABSENT}, Word.PASSED),
        ({"out": None}, Word.MISSING),
        ({"out": b""}, Word.WRONG),
        ({}, Word.MISSING),
        ({"/box/out": ABSENT}, Word.MISSING),
    ],
)
async def test_a_file_is_absent_where_it_was_looked_for_in_vain(left, word) -> None:
    verdict = await grade(None, left, [Files(expected={"out": Absent()})])
    assert [each.word for each in verdict.results.values()] == [word]


@pytest.mark.parametrize("left", [{}, {"out": ABSENT}, {"out": None}])
async def test_what_is_not_there_equals_nothing(left) -> None:
    verdict = await grade(None, left, [Files(expected={"out": Equals(b"")})])
    assert str(verdict) == "0 of 1 passed, 1 missing"


async def test_json_may_nest_as_deep_as_plain_data() -> None:
    value = functools.reduce(lambda inner, _: [inner], range(64), 1)
    deep = json.dumps(value).encode()
    assert (await grade(None, {"a": deep}, [Files(expected={"a": Json(value)})])).passed
    with pytest.raises(ValueError, match="64 deep"):
        Json([value])


@sandbox
async def test_what_an_agent_left_is_collected_by_name(sandboxes: Sandboxes) -> None:
    async with sandboxes.lease() as place:
        await place.write_file("a.txt", b"a")
        await place.python("import os; os.symlink('/etc/passwd', 'l'); os.mkdir('d')")
        await place.write_file("big", b"x" * 2000)
        assert await collect(
            place, "a.txt", "l", "d", "big", "nowhere", "nowhere/at/all", most_bytes=1000
        ) == {
            "a.txt": b"a",
            "l": None,
            "d": None,
            "big": None,
            "nowhere": ABSENT,
            "nowhere/at/all": ABSENT,
        }
        assert await collect(place, "../a") == {"../a": None}
