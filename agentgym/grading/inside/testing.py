"""Stands for pytest in a module of tests: what tests are written with."""

import opcode
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TESTS_FILE = "<tests>"
_RAISE = opcode.opmap["RAISE_VARARGS"]
_REFUSED_MARKS = ("skip", "skipif", "xfail", "usefixtures", "filterwarnings")


class Ended(BaseException):
    """Raised when a test cannot go on; no test catches it by chance."""


class Refused(Ended):
    """Raised when a module of tests holds something that cannot be graded by."""


class Skipped(Ended):
    """Raised by a test that does not want to go on."""


class Failed(AssertionError):  # noqa: N818
    """Raised by what stands for pytest, in the place of an assertion."""


class Mark:
    """A mark on a test; `parametrize` alone means something."""

    def __init__(self, name: str, args: "tuple[Any, ...]" = (), kwargs: "Any" = None) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs or {}

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Stand on what it decorates, or take what it is called with."""
        is_full = self.args or self.kwargs or self.name != "parametrize"
        if is_full and len(args) == 1 and not kwargs and callable(args[0]):
            subject = args[0]
            subject.pytestmark = [*listed(vars(subject).get("pytestmark", [])), self]
            return subject
        return Mark(self.name, args, kwargs)


class _Marks:
    def __getattr__(self, name: str) -> Mark:
        if name in _REFUSED_MARKS:
            raise Refused(f"pytest.mark.{name}: what does not run, or may fail, is no evidence")
        return Mark(name)


class Fixture:
    """A function whose value a test asks for by its name."""

    def __init__(self, function: "Any", *, name: "str | None", autouse: bool) -> None:
        self.function = function
        self.name = name or function.__name__
        self.autouse = autouse


class Param:
    """One set of values."""

    def __init__(self, *values: "Any", marks: "Any" = (), id: "str | None" = None) -> None:
        self.values = values


def fixture(
    function: "Any" = None,
    *,
    scope: str = "function",
    name: "str | None" = None,
    autouse: bool = False,
) -> "Any":
    """Make a function a fixture. Every test is alone in its process, whatever the scope."""
    if function is None:
        return lambda function: Fixture(function, name=name, autouse=autouse)
    return Fixture(function, name=name, autouse=autouse)


def skip(reason: str = "", **_: "Any") -> None:
    """End the test; it does not count as passed."""
    raise Skipped(reason)


def fail(reason: str = "", **_: "Any") -> None:
    """End the test; it has failed."""
    raise Failed(reason)


class raises:  # noqa: N801
    """Expects an exception."""

    def __init__(self, expected: "Any", *call: "Any", match: "Any" = None, **kwargs: "Any") -> None:
        self.expected = expected
        self.match_text = match
        self.value: Any = None
        if call:
            with self:
                call[0](*call[1:], **kwargs)
        elif kwargs:
            raise Refused(f"pytest.raises({', '.join(kwargs)}=...) is not known here")

    @property
    def type(self) -> "Any":
        """The class of what was raised."""
        return self.value.__class__

    def match(self, pattern: str) -> bool:
        """Fail unless the text of what was raised matches."""
        import re

        if not re.search(pattern, str(self.value)):
            raise Failed(f"{str(self.value)!r} does not match {pattern!r}")
        return True

    def __enter__(self) -> "raises":
        return self

    def __exit__(self, kind: "Any", error: "Any", trace: "Any") -> bool:
        if error is None:
            raise Failed("did not raise")
        if isinstance(error, Ended) or not isinstance(error, self.expected):
            return False
        self.value = error
        if self.match_text is not None:
            self.match(self.match_text)
        return True


class approx:  # noqa: N801
    """Equals numbers nearby, and lists, tuples and dicts of such."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, expected: "Any", rel: "Any" = None, abs: "Any" = None, nan_ok: bool = False
    ) -> None:
        self.expected = expected
        self.relative = (1e-6 if abs is None else 0.0) if rel is None else rel
        self.absolute = 1e-12 if abs is None else abs
        self.nan_ok = nan_ok

    def __eq__(self, other: object) -> bool:
        return self._near(self.expected, other)

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def _near(self, want: "Any", got: "Any") -> bool:
        if type(want) in (list, tuple):
            return (
                type(got) is type(want)
                and len(got) == len(want)
                and all(self._near(a, b) for a, b in zip(want, got))
            )
        if type(want) is dict:
            return (
                type(got) is dict
                and got.keys() == want.keys()
                and all(self._near(want[key], got[key]) for key in want)
            )
        if type(want) not in (int, float, complex):
            return type(want) is type(got) and bool(want == got)
        return type(got) in (int, float, complex) and self._near_number(want, got)

    def _near_number(self, want: "Any", got: "Any") -> bool:
        if want != want or got != got:
            return self.nan_ok and want != want and got != got
        if want == got:
            return True
        distance = abs(want - got)
        infinity = float("inf")
        room = max(self.absolute, self.relative * abs(want))
        return bool(distance < infinity and abs(want) < infinity and distance <= room)


OFFERED = {
    "mark": _Marks(),
    "param": Param,
    "xfail": skip,
    **{each.__name__: each for each in (fixture, skip, fail, raises, approx)},
}
"""All there is of pytest."""


def install() -> None:
    """Let test modules import this as `pytest`."""
    module: Any = type(sys)("pytest")
    vars(module).update(OFFERED)
    sys.modules["pytest"] = module


def is_raised_by_tests(trace: "Any") -> bool:
    """Whether it was raised by a `raise` of theirs."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code.co_filename == TESTS_FILE and bool(code.co_code[trace.tb_lasti] == _RAISE)


def listed(marks: "Any") -> "list[Mark]":
    """Return the marks of a `pytestmark`."""
    return list(marks) if isinstance(marks, (list, tuple)) else [marks]
