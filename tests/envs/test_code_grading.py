import re

import pytest
from hypothesis import given, strategies as st

from agentgym.envs.code.grading import grade, run_public
from agentgym.sandbox import ExecResult, Limits, Sandbox, SandboxInfo, Status

LIMITS = Limits()
EXAMPLES = [[[1, 2], 3]]


class ScriptedSandbox(Sandbox):
    """Prints what it was told for each call; `MARK` becomes the mark of the call."""

    id = "scripted"
    info = SandboxInfo(backend="scripted")

    def __init__(self, *outputs, status=Status.EXITED):
        self.outputs = list(outputs)
        self.status = status
        self.marks = []
        self.sources = []

    async def python(self, code, *, stdin=b"", limits=None):
        self.sources.append(code)
        self.marks.append(re.findall(r"'([0-9a-f]{16})'\)\n$", code)[0].encode())
        stdout = self.outputs.pop(0).replace(b"MARK", self.marks[-1])
        return ExecResult(status=self.status, exit_code=0, stdout=stdout)

    async def exec(self, argv, **options):
        raise NotImplementedError

    async def read_file(self, path, **options):
        raise NotImplementedError

    async def write_file(self, path, content, **options):
        raise NotImplementedError

    async def reset(self):
        return True

    async def close(self):
        pass


async def is_right(output, *, want=3, status=Status.EXITED):
    sandbox = ScriptedSandbox(output, status=status)
    return (await grade(sandbox, "", examples=[[[1, 2], want]], limits=LIMITS)).right


async def test_the_wanted_value_after_the_mark_is_right():
    assert await is_right(b"\nMARK 3\n")
    assert await is_right(b"printed before\n\nMARK 3\n")
    assert await is_right(b"\nMARK [1, -2]\n", want=[1, -2])
    assert await is_right(b"\nMARK []\n", want=[])


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"3\n",
        b"\nMARK 4\n",
        b"\nMARK 3\nmore",
        b"\nMARK 3\n\n",
        b"\nMARK 3",
        b"MARK 3\n",
        b"x MARK 3\n",
        b"\nMARK  3\n",
        b"\nMARK 03\n",
        b"\nMARK +3\n",
        b"\nMARK 3.0\n",
        b"\nMARK True\n",
        b"\nMARK [3]\n",
        b"\nMARK '3'\n",
        b"\nMARK 2\n\nMARK 3\n",
        b"\nMARK 3\n\nMARK 3\n",
        b"\n0123456789abcdef 3\n",
    ],
)
async def test_anything_else_is_wrong(output):
    assert not await is_right(output)


async def test_one_and_true_differ():
    assert await is_right(b"\nMARK 1\n", want=1)
    assert not await is_right(b"\nMARK True\n", want=1)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.EXITED])
async def test_a_process_that_was_stopped_is_wrong_whatever_it_printed(status):
    assert not await is_right(b"\nMARK 3\n", status=status)


async def test_no_examples_prove_nothing():
    assert not (await grade(ScriptedSandbox(), "", examples=[], limits=LIMITS)).right


async def test_grading_stops_at_the_first_wrong_answer():
    sandbox = ScriptedSandbox(b"\nMARK 3\n", b"\nMARK 0\n", b"\nMARK 3\n")
    assert not (await grade(sandbox, "", examples=EXAMPLES * 3, limits=LIMITS)).right
    assert len(sandbox.sources) == 2


async def test_each_hidden_input_goes_alone_with_a_new_mark_and_without_its_value():
    examples = [[[11, 12], 987_001], [[13], 987_002]]
    sandbox = ScriptedSandbox(b"\nMARK 987001\n", b"\nMARK 987002\n")
    assert (await grade(sandbox, "", examples=examples, limits=LIMITS)).right
    first, second = sandbox.sources
    assert "[11, 12]" in first
    assert "[13]" not in first
    assert "[11, 12]" not in second
    assert not any("98700" in source for source in sandbox.sources)
    assert len(set(sandbox.marks)) == 2


@given(output=st.binary(max_size=80))
async def test_no_output_breaks_the_feedback(output):
    sandbox = ScriptedSandbox(output)
    feedback, _ = await run_public(sandbox, "", examples=EXAMPLES, limits=LIMITS)
    assert feedback.passed == 0
    assert feedback.text.startswith("input [1, 2] want 3 error no result")


@given(answer=st.binary(max_size=80).filter(lambda text: b"\n" not in text and text != b"3"))
async def test_feedback_is_printable_and_short_whatever_is_answered(answer):
    sandbox = ScriptedSandbox(b"\nMARK " + answer + b"\n")
    feedback, _ = await run_public(sandbox, "", examples=EXAMPLES, limits=LIMITS)
    assert feedback.passed == 0
    assert feedback.text.isascii()
    assert feedback.text.isprintable()
    assert len(feedback.text) < 90
