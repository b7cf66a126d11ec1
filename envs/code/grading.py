"""Runs a program on inputs in a sandbox and judges what comes back, on this side.

The rules: an expected value never enters a sandbox; the hidden inputs go into a fresh one, one
process for each; only the very bytes that a right value gives count, after a mark that is new
in every process. To forge such an answer a program would have to know the value.

`agentgym.grading` has the same rules for any plain data; this is its special case for integers,
faster for each input, with the closed vocabulary that models of this environment know.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from agentgym.sandbox import ExecResult, Limits, Sandbox, Status

Examples = Sequence[Sequence[Any]]
"""Pairs of an input and the value that is wanted for it."""

MAX_CODE_CHARS = 4000
MAX_SHOWN_CHARS = 48
MAX_OUTPUT_CHARS = 400

_ERRORS = frozenset(
    error.__name__
    for error in (
        *(SyntaxError, NameError, TypeError, ValueError, IndexError, KeyError, AttributeError),
        *(ZeroDivisionError, OverflowError, RecursionError, MemoryError, ImportError),
    )
)
"""Errors called by their name in feedback; any other is an `Exception`."""
_TYPES = frozenset({"str", "float", "tuple", "set", "dict", "list", "function", "generator"})
"""Types called by their name where no value can be shown; any other is an `object`."""
_FAULTS = {
    Status.EXITED: "no result",
    Status.SIGNALED: "killed",
    Status.TIMEOUT: "timeout",
    Status.CPU_LIMIT: "timeout",
    Status.OOM: "memory",
    Status.OUTPUT_LIMIT: "output",
}
"""What is said of a process that ended before it answered."""

# What leaves the process: `5`, `[1, -2]`, `None`, `True`, else `?type` or `!error`. Equal texts
# mean equal types and values, so that comparing them needs no parser.
_HARNESS = """
def run(program, inputs, mark):
    from os import _exit, write
    def spell(value):
        if value is None or type(value) is bool or type(value) is int and abs(value) < 10**18:
            return repr(value)
        if type(value) is list and len(value) < 100:
            if all(type(v) is int and abs(v) < 10**18 for v in value):
                return repr(value)
        return "?" + type(value).__name__
    space, error = {"__name__": "program"}, None
    try:
        exec(compile(program, "program", "exec"), space)
        if "f" not in space:
            raise NameError
    except BaseException as caught:
        error = "!" + type(caught).__name__
    for x in inputs:
        try:
            text = error or spell(space["f"](x))
        except BaseException as caught:
            text = "!" + type(caught).__name__
        write(1, f"\\n{mark} {text[:2000]}\\n".encode("ascii", "replace"))
    _exit(0)
"""
_INT = r"-?[0-9]{1,18}"
_SHOWABLE = re.compile(rf"None|True|False|{_INT}|\[({_INT}(, {_INT})*)?\]")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
_UNPRINTABLE = re.compile(r"[^\n\x20-\x7e]")


class Feedback(NamedTuple):
    """What the public examples said of a program."""

    text: str
    passed: float
    """Fraction of the examples."""
    timed_out: bool = False
    answers: tuple[str, ...] = ()
    """In words, one for each example."""
    printed: str = ""
    """What the program wrote besides."""


class Verdict(NamedTuple):
    """Whether a program is right."""

    right: bool
    timed_out: bool = False


async def run_public(
    sandbox: Sandbox, program: str, *, examples: Examples, limits: Limits
) -> tuple[Feedback, ExecResult]:
    """Run a program on all public examples, in one process: they are no secret."""
    mark = secrets.token_hex(8)
    result = await sandbox.python(_source(program, [x for x, _ in examples], mark), limits=limits)
    answers = _answers(result.stdout, mark)
    fault = f"!{_FAULTS[result.status]}"
    answers += [fault] * (len(examples) - len(answers))
    failures = [
        f"input {x} want {want} {_describe(answer)}"
        for (x, want), answer in zip(examples, answers, strict=False)
        if answer != repr(want)
    ]
    passed = 1 - len(failures) / len(examples)
    feedback = Feedback(
        failures[0] if failures else "pass",
        passed,
        result.timed_out,
        answers=tuple(map(_describe, answers[: len(examples)])),
        printed=_besides(result, mark),
    )
    return feedback, result


async def grade(sandbox: Sandbox, program: str, *, examples: Examples, limits: Limits) -> Verdict:
    """Run a program on hidden examples, one process for each, up to the first wrong answer.

    Raises:
        SandboxError: the machinery failed; that is no verdict.
    """
    for x, want in examples:
        mark = secrets.token_hex(8)
        result = await sandbox.python(_source(program, [x], mark), limits=limits)
        if not _is_right(result, mark, want):
            return Verdict(False, result.timed_out)
    return Verdict(bool(examples))


def describe_output(result: ExecResult) -> str:
    """Return in a few words what a snippet printed and how it ended."""
    printed = result.stdout.decode("utf-8", "replace")
    parts = [_clean(printed)] if printed.strip() else []
    if result.status is not Status.EXITED:
        parts.append(f"error {_FAULTS[result.status]}")
    elif result.exit_code != 0:
        last_line = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        parts.append(f"error {_clean(last_line) or f'exit code {result.exit_code}'}")
    return "\n".join(parts) or "no output"


def terminal_output(result: ExecResult) -> str:
    """Return all that a snippet wrote, for people."""
    return (result.stdout + result.stderr).decode("utf-8", "replace")


def _besides(result: ExecResult, mark: str) -> str:
    lines = terminal_output(result).split("\n")
    return "\n".join(line for line in lines if mark not in line).strip("\n")


def _source(program: str, inputs: Sequence[list[int]], mark: str) -> str:
    return f"{_HARNESS}\nrun({program!a}, {list(inputs)!r}, {mark!r})\n"


def _is_right(result: ExecResult, mark: str, want: Any) -> bool:
    """Whether the output holds one answer, at its very end, and that is the wanted one."""
    return (
        result.status is Status.EXITED
        and result.stdout.count(mark.encode()) == 1
        and result.stdout.endswith(f"\n{mark} {want!r}\n".encode())
    )


def _answers(stdout: bytes, mark: str) -> list[str]:
    start = f"{mark} "
    lines = stdout.decode("ascii", "replace").split("\n")
    return [line.removeprefix(start) for line in lines if line.startswith(start)]


def _describe(answer: str) -> str:
    """Put an answer into words of a closed vocabulary."""
    kind, name = answer[:1], answer[1:]
    if kind == "!":
        known = name in _ERRORS or name in _FAULTS.values()
        return f"error {name if known else 'Exception'}"
    if not _SHOWABLE.fullmatch(answer):
        return f"got {name if kind == '?' and name in _TYPES else 'object'}"
    return f"got {answer if len(answer) <= MAX_SHOWN_CHARS else answer[:MAX_SHOWN_CHARS] + ' ...'}"


def _clean(text: str) -> str:
    """Drop what differs from run to run or cannot be shown, and the rest of a long text."""
    text = _UNPRINTABLE.sub("?", _ADDRESS.sub("0x", text)).strip()
    return text if len(text) <= MAX_OUTPUT_CHARS else text[:MAX_OUTPUT_CHARS] + " ..."
