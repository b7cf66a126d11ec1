"""What the result of a hostile program must be. Each returns what it saw, or raises Failed."""

from collections.abc import Awaitable, Callable

from agentgym.check.report import Failed
from agentgym.errors import SandboxDied
from agentgym.sandbox import ExecResult, Status

Judge = Callable[[ExecResult], str]

_SHOWN = 300
_SOON_S = 1.0


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
    """Expect one of these on stdout, and a program that came to its end."""

    def judge(result: ExecResult) -> str:
        said = result.stdout.decode("utf-8", "replace").strip()
        if said not in expected or result.status is not Status.EXITED:
            raise Failed(f"expected {' or '.join(map(repr, expected))}; {shown(result)}")
        return said

    return judge


def soon(judge: Judge) -> Judge:
    """Expect what another judge does, and a reply that waited for nobody."""

    def judge_soon(result: ExecResult) -> str:
        seen = judge(result)
        expect(result.wall_s < _SOON_S, f"it took {result.wall_s:.1f} s; {shown(result)}")
        return seen

    return judge_soon


def alone(result: ExecResult) -> None:
    """Expect that "still here", its own number and those of all processes were said.

    What ran before is over: there is nobody but the worker and who says this.
    """
    words = result.stdout.decode("utf-8", "replace").split()
    if words[:2] != ["still", "here"] or len(words) < 4:
        raise Failed(f"afterwards the sandbox answers {result}")
    others = set(words[3:]) - {"1", words[2]}
    expect(not others, f"{len(others)} processes outlived the reply: {sorted(others, key=int)}")


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


async def expect_refused(call: Awaitable[object], what: str) -> None:
    """Raise Failed unless a call is refused with a ValueError."""
    try:
        await call
    except ValueError:
        return
    raise Failed(f"{what} was not refused")


async def expect_died(call: Awaitable[object]) -> None:
    """Raise Failed unless a call says that its sandbox is gone."""
    try:
        got = await call
    except SandboxDied:
        return
    said = shown(got) if isinstance(got, ExecResult) else repr(got)
    raise Failed(f"a sandbox that is gone gave an answer: {said[:_SHOWN]}")


def expect(condition: object, otherwise: str) -> None:
    """Raise Failed unless something is so."""
    if not condition:
        raise Failed(otherwise)


def shown(result: ExecResult) -> str:
    """Return the little of a result that tells what happened."""
    end = result.exit_code if result.signal is None else f"signal {result.signal}"
    said = (result.stdout[-_SHOWN:] + result.stderr[-_SHOWN:]).decode("utf-8", "replace").strip()
    return f"it {result.status} ({end}, {result.wall_s:.1f} s, lost={result.sandbox_lost}): {said}"
