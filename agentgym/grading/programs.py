"""Checks a program: what it prints for its input, and how it exits."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentgym.grading.comparing import Comparison, is_empty, same_output
from agentgym.grading.place import Artefacts, by_id, check_each, roomy
from agentgym.grading.values import Tolerance, show
from agentgym.grading.verdict import Result, Word, clean, explain, word_for
from agentgym.sandbox import ExecResult, Limits, Sandbox, Sandboxes, Status

_TOLERANCE = Tolerance(relative=1e-6, absolute=1e-9)
_ROOM = 64 << 10  # for blanks that do not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the program and what must come of it."""

    stdout: bytes | str
    stdin: bytes | str = b""
    argv: Sequence[str] = ()
    """After those of the check."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Written before it runs, by their paths under /box; with files, it has a sandbox alone."""
    exit_code: int | None = 0
    """None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Runs a program of the artefacts once for each case, each a process of its own."""

    cases: Mapping[str, Run] | Sequence[Run]
    argv: Sequence[str] = ("python3", "solution.py")
    comparison: Comparison = Comparison.LINES
    tolerance: Tolerance = _TOLERANCE
    """For `Comparison.NUMBERS`."""
    name: str = "programs"

    def __post_init__(self) -> None:
        Comparison(self.comparison)
        cases = by_id(self.name, self.cases).values()
        if all(is_empty(_bytes(case.stdout), self.comparison) for case in cases):
            raise ValueError("no case expects output: a program that does nothing would pass")

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for each case."""
        cases = by_id(self.name, self.cases)
        most = max(len(_bytes(case.stdout)) for case in cases.values())
        limits = roomy(limits, _ROOM + 2 * most)  # the same for all: it tells nothing of any
        check = functools.partial(self._check, limits=limits)
        return await check_each(
            sandboxes, artefacts, cases, check, is_alone=lambda case: bool(case.files)
        )

    async def _check(
        self, sandbox: Sandbox, id: str, case: Run, *, limits: Limits
    ) -> tuple[Result, bool]:
        for path, content in case.files.items():
            await sandbox.write_file(path, content)
        argv = [*self.argv, *case.argv]
        ended = await sandbox.exec(argv, stdin=_bytes(case.stdin), limits=limits)
        word, detail = self._judge(case, ended)
        return Result(id, word, clean(detail)), ended.sandbox_lost

    def _judge(self, case: Run, ended: ExecResult) -> tuple[Word, str]:
        if ended.status is not Status.EXITED:
            return word_for(ended), explain(ended)
        if ended.stdout_total != len(ended.stdout):
            return Word.OUTPUT, f"{ended.stdout_total} bytes, far more than expected"
        if case.exit_code is not None and ended.exit_code != case.exit_code:
            return Word.RAISED, f"{explain(ended)}, expected exit code {case.exit_code}"
        want = _bytes(case.stdout)
        if not same_output(want, ended.stdout, self.comparison, self.tolerance):
            return Word.WRONG, f"printed {show(ended.stdout)}, expected {show(want)}"
        return Word.PASSED, ""


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
