"""Programs: what counts as the same output, and what a case meets."""

import pytest
from grading.judging import Recorder, words

from agentgym.grading import Comparison, Programs, Run, Tolerance, Word, grade
from agentgym.grading.comparing import same_output
from agentgym.sandbox import Sandboxes

sandbox = pytest.mark.sandbox


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


async def test_a_case_with_files_shares_its_sandbox_with_none() -> None:
    sandboxes = Recorder(stdout=b"x")
    files = {"in.txt": b""}
    cases = [Run(stdin=name, stdout="x", files=files if name in "cd" else {}) for name in "abcde"]
    await grade(sandboxes, {}, [Programs(cases=cases)])
    met = [[asked[1] for asked in each if asked[0] == "exec"] for each in sandboxes.asked]
    assert met == [[b"a", b"b"], [b"c"], [b"d"], [b"e"]]


async def test_how_much_may_be_printed_is_the_same_for_all_cases() -> None:
    sandboxes = Recorder()
    await grade(sandboxes, {}, [Programs(cases=[Run(stdout="a"), Run(stdout="a" * 99)])])
    assert len({str(limits) for [*asked] in sandboxes.asked for _, _, limits in asked}) == 1


@sandbox
async def test_what_a_case_leaves_ends_no_other_with_files(sandboxes: Sandboxes) -> None:
    program = b"import os\nprint(open('in.txt').read())\nos.remove('in.txt')\nos.mkdir('in.txt')"
    cases = [Run(stdout=name, files={"in.txt": name.encode()}) for name in "ab"]
    found = await words(sandboxes, Programs(cases=cases), {"solution.py": program})
    assert found == {"0": Word.PASSED, "1": Word.PASSED}


@sandbox
async def test_a_file_can_be_the_program(sandboxes: Sandboxes) -> None:
    check = Programs(cases=[Run(stdout="1")], argv=["./run.sh"])
    assert await words(sandboxes, check, {"run.sh": b"#!/bin/sh\necho 1"}) == {"0": Word.PASSED}
