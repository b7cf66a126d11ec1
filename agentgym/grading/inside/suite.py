"""Runs hidden tests, in a sandbox of their own; the solution is elsewhere.

A session answers one call at a time, and a test calls the solution in its midst. So the test runs
on a thread, which waits between calls: each call of the session hands it an answer, and brings
what it asks next.
"""

import _thread
import sys

from agentgym.grading.inside.plain import encode
from agentgym.grading.inside.program import send, take_output
from agentgym.grading.inside.running import run, tests_of
from agentgym.grading.inside.standins import Line, connect
from agentgym.grading.inside.testing import TESTS_FILE, Refused, Skipped, install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_SAID = 1000


class Suite:
    """One module of tests, of which one test runs."""

    def __init__(
        self, source: bytes, module: str, *, most_bytes: int, ask_comparisons: bool
    ) -> None:
        self._out = -1
        self._source = source
        self._module = module
        self._most_bytes = most_bytes
        self._ask_comparisons = ask_comparisons
        self._asked = _thread.allocate_lock()
        self._answered = _thread.allocate_lock()
        self._asked.acquire()
        self._answered.acquire()
        self._passing: Any = None
        install()

    def collect(self, mark: bytes) -> None:
        """Say which tests there are; the solution has no part in it."""
        self._out = take_output()
        sys.modules[self._module] = _Uncollected(self._module)
        said: tuple[str, Any]
        try:
            said = "collected", [test.id for test in tests_of(self._load())]
        except BaseException as error:
            said = "refused", _told(error)
        self._say(mark, said)

    def begin(self, mark: bytes, id: str) -> None:
        """Start a test, and say what it asks first, or what became of it."""
        self._out = take_output()
        line = Line(
            self._exchange, most_bytes=self._most_bytes, ask_comparisons=self._ask_comparisons
        )
        connect(line, self._module)
        _thread.start_new_thread(self._run, (id,))
        self._tell(mark)

    def go_on(self, mark: bytes, reply: bytes) -> None:
        """Hand the test an answer, and say what it asks next, or what became of it."""
        self._passing = reply
        self._answered.release()
        self._tell(mark)

    def _tell(self, mark: bytes) -> None:
        self._asked.acquire()
        self._say(mark, self._passing)

    def _say(self, mark: bytes, said: object) -> None:
        send(self._out, mark + encode(said, most_bytes=2 * self._most_bytes))

    def _exchange(self, request: bytes) -> bytes:
        self._passing = ("asks", request)
        self._asked.release()
        self._answered.acquire()
        reply: bytes = self._passing
        return reply

    def _run(self, id: str) -> None:
        self._passing = ("done", *self._outcome(id))
        self._asked.release()

    def _outcome(self, id: str) -> "tuple[str, str]":
        try:
            module = self._load()
            tests = {test.id: test for test in tests_of(module)}
        except BaseException as error:
            return "unloadable", _told(error)
        if id not in tests:
            return "missing", "the module has no such test when the solution is there"
        try:
            run(tests[id], module)
        except Refused as error:
            return "refused", _told(error)
        except Skipped as error:
            return "skipped", _told(error)
        except AssertionError as error:
            return "wrong", _told(error)
        except BaseException as error:
            return "raised", _told(error)
        return "passed", ""

    def _load(self) -> "dict[str, Any]":
        module: Any = type(sys)("tests")
        sys.modules["tests"] = module
        exec(compile(self._source, TESTS_FILE, "exec"), module.__dict__)
        space: dict[str, Any] = module.__dict__
        return space


class _Unknown:
    """Stands for what a module imports of the solution while its tests are collected."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self, *_: object, **__: object) -> "Any":
        raise Refused(f"{self._name} of the solution is used outside of a test or fixture")

    def _either(self, _: object) -> "_Unknown":
        return self  # in an annotation

    __call__ = __eq__ = __bool__ = __iter__ = __len__ = __getattr__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __getitem__ = _refuse
    __or__ = __ror__ = _either
    __hash__ = object.__hash__


class _Uncollected(type(sys)):  # type: ignore[misc]
    def __getattr__(self, name: str) -> "Any":
        if name == "__path__":
            raise AttributeError(name)
        if name == "__all__":
            raise Refused("import what the tests need of the solution by its names")
        return _Unknown(name)


def _told(error: BaseException) -> str:
    """Say where in the tests it was raised, and what it is."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == TESTS_FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        text = str(error)
    except Exception as failed:
        text = type(failed).__name__
    where = f"line {line}: " if line else ""
    return f"{where}{type(error).__name__}: {text}"[:_MOST_SAID]
