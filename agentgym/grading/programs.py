"""Checks a program: what it prints for its input, and how it exits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentgym.grading.comparing import Comparison, is_empty, same_output
from agentgym.grading.place import Artefacts, fresh, roomy
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
    """Written before it runs, by their paths under /box."""
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
        cases = self._by_id().values()
        if all(is_empty(_bytes(case.stdout), self.comparison) for case in cases):
            raise ValueError("no case expects output: a program that does nothing would pass")

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for each case."""
        results: list[Result] = []
        waiting = list(self._by_id().items())
        while waiting:
            async with fresh(sandboxes, artefacts) as sandbox:
                lost = False
                while waiting and not lost:
                    id, case = waiting.pop(0)
                    ended = await self._start(sandbox, case, limits)
                    word, detail = self._judge(case, ended)
                    results.append(Result(id, word, clean(detail)))
                    lost = ended.sandbox_lost
        return results

    def _by_id(self) -> dict[str, Run]:
        cases = self.cases
        named = cases if isinstance(cases, Mapping) else {str(i): c for i, c in enumerate(cases)}
        return {f"{self.name}[{id}]": case for id, case in named.items()}

    async def _start(self, sandbox: Sandbox, case: Run, limits: Limits) -> ExecResult:
        for path, content in case.files.items():
            await sandbox.write_file(path, content)
        room = 2 * len(_bytes(case.stdout)) + _ROOM
        return await sandbox.exec(
            [*self.argv, *case.argv],
            stdin=_bytes(case.stdin),
            limits=roomy(limits, 2 * room),
        )

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
