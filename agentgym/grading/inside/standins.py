"""What a test holds in the place of the solution's functions, classes and objects.

Each asks over the line that the test runs on. Nothing of the solution runs here, and nothing of
it is believed but plain data: an object of the solution equals no data whatever it says.
"""

import builtins
import sys

from agentgym.grading.inside.changes import Same, change, containers
from agentgym.grading.inside.plain import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NUMBER = "_number_in_the_solution"
_SAID = "_said_by_the_solution"


class Uncarried(BaseException):
    """Raised when something cannot be asked of the solution, or was not answered in our words.

    No test catches it by chance: it is no `Exception`.
    """


class Line:
    """The way to the solution."""

    def __init__(
        self, exchange: "Callable[[bytes], bytes]", *, most_bytes: int, ask_equality: bool
    ) -> None:
        self.ask_equality = ask_equality
        self._exchange = exchange
        self._most_bytes = most_bytes
        self._objects: dict[int, Any] = {}
        self._classes: dict[int, Any] = {}

    def ask(self, operation: str, target: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        """Have it done, and return the value or raise the exception that came of it."""
        before = containers(args) + containers(kwargs)
        asked = (operation, target, args, kwargs)
        try:
            request = encode(asked, most_bytes=self._most_bytes, spell=_number_of)
        except ValueError as error:
            raise Uncarried(f"cannot be passed to the solution: {error}") from None
        reply = self._exchange(request)
        try:
            said = decode(reply, build=self._build)
            if said[0] == "returned":
                _, value, now = said
                change(before, now)
                return value
            failure = self._error(*said[1:])
        except Exception as broken:
            raise Uncarried(f"the solution gave no answer: {broken!r}") from None
        raise failure

    def _build(self, said: "Any") -> "Any":
        what, *rest = said
        if what == "same":
            return Same(*rest)
        if what == "class":
            return self._class(*rest)
        number, described = rest
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
        name, number, bases = described
        if number not in self._classes:
            made = _make_class(name, [self._class(base) for base in bases])
            self._classes[number] = made
            type.__setattr__(made, _NUMBER, number)
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
setattr(_solution, _NUMBER, 0)


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
        if name == _NUMBER:
            raise AttributeError(name)
        return _ask("getattr", cls, name)

    def __setattr__(cls, name: str, value: "Any") -> None:
        _ask("setattr", cls, name, value)


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
        assert _line is not None
        if not _line.ask_equality:
            raise Uncarried(
                "two objects of the solution would be compared by the solution itself:"
                " compare their data, or grade with ask_equality=True"
            )
        return _ask("eq", self, other) is True

    def __hash__(self) -> int:
        return id(self)

    def __exit__(self, *exc_info: object) -> "Any":
        return _ask("exit", self)


class _FailedClass:
    """What exceptions of the solution have beside those of Python."""

    def __str__(self) -> str:
        return str(self.__dict__.get(_SAID) or BaseException.__str__(self))  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> "Any":
        if name == _NUMBER or _NUMBER not in self.__dict__:
            raise AttributeError(name)
        return _ask("getattr", self, name)


def _make_class(name: str, bases: "list[Any]") -> "Any":
    errors = tuple(base for base in bases if issubclass(base, BaseException))
    if errors:
        extra = () if any(issubclass(base, _FailedClass) for base in errors) else (_FailedClass,)
        return type(name, (*extra, *errors), {"__module__": __name__})
    ours = tuple(base for base in bases if issubclass(base, StandIn))
    return type.__new__(_Class, name, ours or (StandIn,), {"__module__": __name__})


def _numbered(value: "Any", number: int) -> "Any":
    object.__setattr__(value, _NUMBER, number)
    return value


def _number_of(value: "Any") -> int:
    if isinstance(value, type):
        number = vars(value).get(_NUMBER)
    else:
        number = getattr(value, "__dict__", {}).get(_NUMBER)
    if number is None:
        raise ValueError(f"a value of type {type(value).__name__}")
    return int(number)


def _add_operators() -> None:
    """Let every operation that a test can do to an object be asked of the solution."""

    def forward(operation: str) -> "Callable[..., Any]":
        return lambda self, *args, **kwargs: _ask(operation, self, *args, **kwargs)

    def reflected(operation: str) -> "Callable[..., Any]":
        return lambda self, other: _ask(operation, other, self)

    binary = ("add sub mul matmul truediv floordiv mod pow lshift rshift and_ or_ xor divmod",)
    for name in binary[0].split():
        dunder = name.rstrip("_")
        type.__setattr__(StandIn, f"__{dunder}__", forward(name))
        type.__setattr__(StandIn, f"__r{dunder}__", reflected(name))
        if name != "divmod":
            type.__setattr__(StandIn, f"__i{dunder}__", forward("i" + dunder))
    plain = "lt le gt ge call len iter next bool int float complex index str repr bytes abs neg pos"
    for name in (plain + " invert round reversed format contains enter").split():
        type.__setattr__(StandIn, f"__{name}__", forward(name))
    for name in ("getitem", "setitem", "delitem"):
        type.__setattr__(StandIn, f"__{name}__", forward(name))


_add_operators()
