"""What a test holds in the place of the solution's functions, classes and objects.

Each asks over the line that the test runs on. Nothing of the solution runs here, and nothing of
it is believed but plain data: an object of the solution equals no data whatever it says.
"""

import builtins
import sys

from agentgym.grading.inside.changes import Same, change, containers
from agentgym.grading.inside.crossing import NUMBER, Foreign, number_of, spell, standard
from agentgym.grading.inside.plain import decode, encode
from agentgym.grading.inside.testing import Ended, Refused, is_raised_by_tests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SAID = "_said_by_the_solution"


class Uncarried(Ended):
    """Raised when something cannot be asked of the solution, or was not answered in our words."""


class Line:
    """The way to the solution."""

    def __init__(
        self, exchange: "Callable[[bytes], bytes]", *, most_bytes: int, ask_comparisons: bool
    ) -> None:
        self.ask_comparisons = ask_comparisons
        self._exchange = exchange
        self._most_bytes = most_bytes
        self._objects: dict[int, Any] = {}
        self._classes: dict[int, Any] = {}
        self._named: set[int] = {0}
        self._given: set[int] = set()

    def ask(self, operation: str, target: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        """Have it done, and return the value or raise the exception that came of it."""
        before = containers(args) + containers(kwargs)
        reply = self._exchange(self._spelled(operation, target, args, kwargs))
        given: set[int] = set()
        try:
            said = decode(reply, build=lambda said: self._build(said, given))
            (self._named if target is _solution else self._given).update(given)
            if said[0] == "returned":
                _, value, now = said
                change(before, now)
                return value
            failure = self._error(*said[1:])
        except Exception as broken:
            raise Uncarried(f"the solution gave no answer: {broken!r}") from None
        raise failure

    def can_cross(self, value: object) -> bool:
        """Whether it can be passed to the solution."""
        try:
            encode(value, most_bytes=self._most_bytes, spell=spell)
        except (ValueError, Foreign):
            return False
        return True

    def _spelled(self, operation: str, target: "Any", args: "Any", kwargs: "Any") -> bytes:
        try:
            asked = (operation, target, args, kwargs)
            return encode(asked, most_bytes=self._most_bytes, spell=spell)
        except ValueError as error:
            raise Uncarried(f"cannot be passed to the solution: {error}") from None
        except Foreign as error:
            ended = Refused if self._is_named(target) else Uncarried
            raise ended(f"cannot be passed to the solution: {error}") from None

    def _is_named(self, target: "Any") -> bool:
        """Whether the tests call it whatever the solution is: it only ever came by an import."""
        return number_of(target) in self._named - self._given

    def _build(self, said: "Any", given: "set[int]") -> "Any":
        what, *rest = said
        if what == "same":
            return Same(*rest)
        if what == "class":
            kind = self._class(*rest)
            given.add(vars(kind).get(NUMBER, 0))
            return kind
        number, described = rest
        given.add(number)
        if number not in self._objects:
            self._objects[number] = self._object(number, self._class(described))
        return self._objects[number]

    def _object(self, number: int, kind: "Any") -> "Any":
        if issubclass(kind, BaseException):
            return _numbered(kind.__new__(kind), number)
        kind = kind if issubclass(kind, StandIn) else StandIn
        return _numbered(object.__new__(kind), number)

    def _class(self, described: "Any") -> "Any":
        if len(described) == 1:
            kind = getattr(builtins, described[0])
            return kind if isinstance(kind, type) else StandIn
        name, module, number, bases = described
        if number not in self._classes:
            own = standard(module, name)
            is_error = isinstance(own, type) and issubclass(own, Exception)
            made = _make_class(name, [own] if is_error else [self._class(b) for b in bases])
            self._classes[number] = made
            type.__setattr__(made, NUMBER, number)
        return self._classes[number]

    def _error(self, described: "Any", args: "Any", text: str, number: int) -> BaseException:
        kind = self._class(described)
        if not issubclass(kind, BaseException):
            raise TypeError("it raised what cannot be raised")
        try:
            error: BaseException = kind(*args)
        except Exception:  # it wants to be made in another way
            error = kind.__new__(kind)
            error.args = args
        if kind.__module__ == __name__:
            setattr(_numbered(error, number), _SAID, text)
        return error


_line: "Line | None" = None


def connect(line: Line, module: str) -> None:
    """Let stand-ins ask over this line, and the solution be imported by its name."""
    global _line
    _line = line
    sys.modules[module] = _Module(module)


def _ask(operation: str, target: "Any", *args: "Any", **kwargs: "Any") -> "Any":
    assert _line is not None
    return _line.ask(operation, target, *args, **kwargs)


class _Solution:
    """The module itself, number 0."""


_solution = _Solution()
setattr(_solution, NUMBER, 0)


class _Module(type(sys)):  # type: ignore[misc]
    def __getattr__(self, name: str) -> "Any":
        if name.startswith("__"):
            raise AttributeError(name)
        return _ask("getattr", _solution, name)

    def __setattr__(self, name: str, value: "Any") -> None:
        _ask("setattr", _solution, name, value)


class _Class(type):
    """The class of stand-ins for classes."""

    def __call__(cls, *args: "Any", **kwargs: "Any") -> "Any":
        return _ask("call", cls, *args, **kwargs)

    def __getattr__(cls, name: str) -> "Any":
        if name == NUMBER:
            raise AttributeError(name)
        return _ask("getattr", cls, name)

    def __setattr__(cls, name: str, value: "Any") -> None:
        _ask("setattr", cls, name, value)

    def __iter__(cls) -> "Any":
        return _ask("iter", cls)

    def __len__(cls) -> "Any":
        return _ask("len", cls)

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: "Any") -> "Any":
        return _ask("getitem", cls, key)

    def __contains__(cls, item: object) -> bool:
        return _ask("contains", cls, item) is True


class StandIn(metaclass=_Class):
    """Stands for an object of the solution."""

    def __getattr__(self, name: str) -> "Any":
        return _ask("getattr", self, name)

    def __setattr__(self, name: str, value: "Any") -> None:
        _ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        _ask("delattr", self, name)

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, StandIn):
            return self is other
        return _compare("eq", self, other) is True

    def __contains__(self, item: object) -> bool:
        return _ask("contains", self, item) is True

    def __hash__(self) -> int:
        return id(self)

    def __exit__(self, kind: "Any", error: "Any", trace: "Any") -> bool:
        if isinstance(error, Ended):
            return False
        if error is None:
            _ask("exit", self)
            return False
        can_matter = not isinstance(error, AssertionError)
        try:
            is_swallowed = _ask("exit", self, *_crossing(error)) is True
        except Exception:
            if can_matter:
                raise
            return False
        # What the solution does makes anything else be raised: it may not end the test by that.
        return is_swallowed and can_matter and is_raised_by_tests(trace)


def _crossing(error: BaseException) -> "tuple[Any, ...]":
    """Return an exception as the solution may know it."""
    assert _line is not None
    if number_of(error) is not None:
        return (error,)
    kind = next(base for base in type(error).__mro__ if _line.can_cross(base))
    is_told = not isinstance(error, AssertionError) and _line.can_cross(error.args)
    return kind, error.args if is_told else ()


class _FailedClass:
    """What exceptions of the solution have beside those of Python."""

    def __str__(self) -> str:
        return str(self.__dict__.get(_SAID) or BaseException.__str__(self))  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> "Any":
        if name == NUMBER or NUMBER not in self.__dict__:
            raise AttributeError(name)
        return _ask("getattr", self, name)


def _make_class(name: str, bases: "list[Any]") -> "Any":
    errors = tuple(base for base in bases if issubclass(base, BaseException))
    if errors:
        extra = () if any(issubclass(base, _FailedClass) for base in errors) else (_FailedClass,)
        return type(name, (*extra, *errors), {"__module__": __name__})
    ours = tuple(base for base in bases if issubclass(base, StandIn))
    space = {"__module__": __name__, "__doc__": _doc}
    return type.__new__(_Class, name, ours or (StandIn,), space)


def _numbered(value: "Any", number: int) -> "Any":
    object.__setattr__(value, NUMBER, number)
    return value


def _compare(operation: str, one: object, other: object) -> "Any":
    assert _line is not None
    if not _line.ask_comparisons:
        raise Uncarried(
            "an object of the solution would be compared by the solution itself: assert its type"
            " first, compare its data, or grade with ask_comparisons=True"
        )
    return _ask(operation, one, other)


def _add_operators() -> None:
    """Let every operation that a test can do to an object be asked of the solution."""

    def forward(operation: str) -> "Callable[..., Any]":
        return lambda self, *args, **kwargs: _ask(operation, self, *args, **kwargs)

    def reflected(operation: str) -> "Callable[..., Any]":
        return lambda self, other: _ask(operation, other, self)

    def compared(operation: str) -> "Callable[..., Any]":
        return lambda self, other: _compare(operation, self, other)

    binary = "add sub mul matmul truediv floordiv mod pow lshift rshift and_ or_ xor divmod"
    for name in binary.split():
        dunder = name.rstrip("_")
        type.__setattr__(StandIn, f"__{dunder}__", forward(name))
        type.__setattr__(StandIn, f"__r{dunder}__", reflected(name))
        if name != "divmod":
            type.__setattr__(StandIn, f"__i{dunder}__", forward("i" + dunder))
    for name in ("lt", "le", "gt", "ge"):
        type.__setattr__(StandIn, f"__{name}__", compared(name))
    plain = "call len iter next bool int float complex index str repr bytes abs neg pos"
    for name in (plain + " invert round reversed format enter").split():
        type.__setattr__(StandIn, f"__{name}__", forward(name))
    for name in ("getitem", "setitem", "delitem"):
        type.__setattr__(StandIn, f"__{name}__", forward(name))


_doc = property(lambda self: _ask("getattr", self, "__doc__"))
type.__setattr__(StandIn, "__doc__", _doc)
type.__setattr__(_Class, "__doc__", _doc)
_add_operators()
