"""Checks a Python file by a hidden module of tests, which stays in a sandbox of its own.

Two sessions talk by way of this process: the tests in one sandbox, the solution in another. The
way that would need no session, to run a test again for each call with the answers so far, takes
quadratic time and tests that do the same each time.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from agentgym.errors import SandboxDied, TaskError
from agentgym.grading.bundle import bundle
from agentgym.grading.inside.plain import Malformed
from agentgym.grading.inside.testing import OFFERED
from agentgym.grading.offered import not_offered
from agentgym.grading.place import Artefacts, fresh, fresh_pair, roomy
from agentgym.grading.values import MOST_BYTES, Container, parse
from agentgym.grading.verdict import Result, Word, clean, explain, word_for
from agentgym.sandbox import ExecResult, Limits, Sandbox, Sandboxes, Session, Status

_ROOM = 2 * MOST_BYTES + 4096  # of an answer
_TESTS = ("plain", "program", "changes", "testing", "crossing", "standins", "running", "suite")
_SOLUTION = ("plain", "program", "changes", "objects")
"""What runs beside each, in an order in which every module needs only those before it."""
_LEAST_S = 0.001  # that a call counts for, so that their number is bounded
_WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "passed": Word.PASSED,
        "wrong": Word.WRONG,
        "raised": Word.RAISED,
        "skipped": Word.SKIPPED,
        "missing": Word.MISSING,
        "unloadable": Word.LOADING,
    }
)


class _Ended(Exception):  # noqa: N818
    """Raised when a test cannot go on, with the verdict."""

    def __init__(self, word: Word, detail: str, *, lost: bool = False) -> None:
        super().__init__(word, detail)
        self.word = word
        self.detail = detail
        self.lost = lost
        """With it a sandbox was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests in the manner of pytest, each of which must pass.

    A module of functions `test_*` and classes `Test*`, with plain asserts, fixtures,
    `parametrize`, `raises` and `approx`. What it imports of the solution are stand-ins: calls
    are carried over as plain data, and objects of the solution stay there. Each test begins with
    the solution newly loaded; the limits hold for all its calls together.
    """

    source: str
    file: str = "solution.py"
    ask_comparisons: bool = False
    """Let the solution answer `==` of two of its objects, and `<`, `<=`, `>`, `>=` of one with
    anything: one that says yes to everything then passes where a test asks for no more."""
    name: str = "suite"

    def __post_init__(self) -> None:
        if unknown := not_offered(self.source):
            raise ValueError(
                f"tests cannot be graded by: {', '.join(unknown)} is not known here;"
                f" there are {', '.join(f'pytest.{name}' for name in OFFERED)}"
            )

    async def run(self, sandboxes: Sandboxes, artefacts: Artefacts, limits: Limits) -> list[Result]:
        """Return a result for each test that the module declares."""
        source = artefacts.get(self.file)
        if not isinstance(source, bytes):
            return await self._all_missing(sandboxes, limits)
        ids: list[str] = []
        results: list[Result] = []
        while not ids or len(results) < len(ids):
            async with (
                fresh_pair(sandboxes, {}, artefacts) as (ours, theirs),
                _session(ours, self._tests(), limits) as asking,
                _session(theirs, _objects(), limits) as answering,
            ):
                ids = ids or await self._collect(asking, limits)
                lost = False
                while len(results) < len(ids) and not lost:
                    id = ids[len(results)]
                    word, detail, lost = await self._check(asking, answering, id, source, limits)
                    results.append(Result(self._id(id), word, clean(detail)))
        return results

    async def _all_missing(self, sandboxes: Sandboxes, limits: Limits) -> list[Result]:
        async with (
            fresh(sandboxes, {}) as ours,
            _session(ours, self._tests(), limits) as asking,
        ):
            ids = await self._collect(asking, limits)
        return [Result(self._id(id), Word.MISSING, f"no {self.file}") for id in ids]

    @property
    def _module(self) -> str:
        return self.file.rpartition("/")[2].removesuffix(".py")

    def _id(self, id: str) -> str:
        return f"{self.name}::{id}"

    def _tests(self) -> str:
        return bundle(*_TESTS) + (
            f"suite = Suite({self.source.encode()!r}, {self._module!r},"
            f" most_bytes={MOST_BYTES}, ask_comparisons={self.ask_comparisons})\n"
        )

    async def _collect(self, asking: Session, limits: Limits) -> list[str]:
        try:
            async with _Side(asking, limits) as side:
                said = _heard(await side.ask("suite.collect"))
        except _Ended as error:
            raise TaskError(f"tests cannot be collected: {error.detail}") from error
        match said:
            case Container("t", ["collected", Container("l", ids)]) if len(set(ids)) == len(ids):
                return [str(id) for id in ids]
            case Container("t", ["collected", _]):
                raise TaskError("tests cannot be collected: two have the same id")
            case Container("t", ["refused", str(why)]):
                raise TaskError(f"tests cannot be graded by: {why}")
        raise TaskError("tests cannot be collected: the module broke off")

    async def _check(
        self, asking: Session, answering: Session, id: str, source: bytes, limits: Limits
    ) -> tuple[Word, str, bool]:
        try:
            async with _Side(asking, limits) as tests, _Side(answering, limits) as solution:
                word, detail = await self._talk(tests, solution, id, source)
        except _Ended as ended:
            return ended.word, ended.detail, ended.lost
        return word, detail, False

    async def _talk(
        self, asking: "_Side", answering: "_Side", id: str, source: bytes
    ) -> tuple[Word, str]:
        loaded = _heard(await answering.ask("objects.load", self._module, source))
        match loaded:
            case Container("t", ["raised", _, _, str(text), _]):
                return Word.LOADING, text
        said = await asking.ask("suite.begin", id)
        while True:
            match _heard(said):
                case Container("t", ["done", str(word), str(detail)]) if word in _WORDS:
                    return _WORDS[word], detail
                case Container("t", ["done", "refused", str(why)]):
                    raise TaskError(f"tests cannot be graded by: {id}, {why}")
                case Container("t", ["asks", bytes(request)]):
                    # What the solution says is read where the tests run: there is a limit to that.
                    reply = await answering.ask("objects.serve", request)
                    said = await asking.ask("suite.go_on", reply)
                case _:
                    return Word.NO_ANSWER, "the tests broke off"


class _Side:
    """A fork of one of the two sessions, for one test, and what is left of its time."""

    def __init__(self, base: Session, limits: Limits) -> None:
        self._base = base
        self._limits = roomy(limits, _ROOM)
        self._left_s = limits.wall_s
        self._left_cpu_s = limits.cpu_s

    async def __aenter__(self) -> Self:
        try:
            [self._session] = await self._base.fork()
        except ValueError as error:  # what it was forked from is within reach of its programs
            raise _Ended(Word.KILLED, f"no session: {error}", lost=True) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, function: str, *args: object) -> bytes:
        """Call a function and return what it said.

        Raises:
            _Ended: it said nothing.
        """
        if self._left_s <= 0 or self._left_cpu_s <= 0:
            raise _Ended(Word.TIMEOUT, "all calls together took too long")
        mark = secrets.token_bytes(16)
        words = ", ".join(map(repr, (mark, *args)))
        limits = self._limits.model_copy(update={"wall_s": self._left_s, "cpu_s": self._left_cpu_s})
        ended = await self._session.python(f"{function}({words})\n", limits=limits)
        self._left_s -= max(ended.wall_s, _LEAST_S)
        self._left_cpu_s -= ended.cpu_s
        if ended.status is not Status.EXITED or ended.session_ended:
            raise _ended(ended, word_for(ended))
        if not ended.stdout.startswith(mark):
            raise _ended(ended, Word.NO_ANSWER)
        return ended.stdout[len(mark) :]


def _heard(said: bytes) -> Any:
    try:
        return parse(said, objects=True)
    except Malformed as error:
        raise _Ended(Word.NO_ANSWER, str(error)) from error


def _objects() -> str:
    return bundle(*_SOLUTION) + (f"objects = Objects(most_bytes={MOST_BYTES})\n")


@contextlib.asynccontextmanager
async def _session(sandbox: Sandbox, code: str, limits: Limits) -> AsyncIterator[Session]:
    """Hold a session with what tests or solutions run in, and nothing of them."""
    async with await sandbox.session(limits=roomy(limits, _ROOM)) as session:
        ended = await session.python(code, limits=roomy(Limits(), _ROOM))
        if ended.exit_code != 0 or ended.session_ended:
            raise SandboxDied(f"a session does not begin: {explain(ended)}")
        yield session


def _ended(ended: ExecResult, word: Word) -> _Ended:
    return _Ended(word, explain(ended), lost=ended.sandbox_lost)
