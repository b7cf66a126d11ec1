"""Programs: what counts as the same output, and what a case meets."""

import pytest
from grading.judging import words

from agentgym.grading import Comparison, Programs, Run, Tolerance, Word
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
