"""What the result of a hostile program must be. Each returns what it saw, or raises Failed."""

from collections.abc import Callable

from agentgym.check.report import Failed
from agentgym.sandbox import ExecResult, Status

Judge = Callable[[ExecResult], str]

_SHOWN = 300


def refused(result: ExecResult) -> str:
    """Expect that it got to its end, and that everything it attempted was refused."""
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    breaches = [line for line in lines if line.startswith("BREACH")]
    if breaches:
        raise Failed("; ".join(breaches)[:_SHOWN])
    count = sum(line.startswith("refused") for line in lines)
    if result.exit_code != 0 or not count:
        raise Failed(f"it did not get to its end: {shown(result)}")
    return f"{count} refused" if count > 1 else lines[0]


def says(*expected: str) -> Judge:
    """Expect one of these on stdout, whatever else became of it."""

    def judge(result: ExecResult) -> str:
        said = result.stdout.decode("utf-8", "replace").strip()
        if said not in expected:
            raise Failed(f"expected {' or '.join(map(repr, expected))}; {shown(result)}")
        return said

    return judge


def ends(*statuses: Status) -> Judge:
    """Expect one of these statuses, and a worker that came through it."""

    def judge(result: ExecResult) -> str:
        if result.status not in statuses or result.sandbox_lost:
            raise Failed(f"expected {' or '.join(statuses)}; {shown(result)}")
        return f"{result.status} after {result.wall_s:.1f} s"

    return judge


def exits(code: int) -> Judge:
    """Expect exactly this exit code."""

    def judge(result: ExecResult) -> str:
        if (result.status, result.exit_code) != (Status.EXITED, code):
            raise Failed(f"expected exit code {code}; {shown(result)}")
        return f"exit code {code}"

    return judge


def expect(condition: object, otherwise: str) -> None:
    """Raise Failed unless something is so."""
    if not condition:
        raise Failed(otherwise)


def shown(result: ExecResult) -> str:
    """Return the little of a result that tells what happened."""
    end = result.exit_code if result.signal is None else f"signal {result.signal}"
    said = (result.stdout[-_SHOWN:] + result.stderr[-_SHOWN:]).decode("utf-8", "replace").strip()
    return f"it {result.status} ({end}, {result.wall_s:.1f} s, lost={result.sandbox_lost}): {said}"
