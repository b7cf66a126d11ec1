"""A solution and its objects, by number: does what a test asks of them, in a session of its own.

Whatever the solution changes here, all that leaves is plain data, and every judgement of it is
made elsewhere.
"""

import _operator
import builtins
import importlib

from agentgym.grading.inside.changes import Same, containers, contents
from agentgym.grading.inside.plain import decode, encode
from agentgym.grading.inside.program import load, module_of, name_of, said_by, send, take_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Objects:
    """What was handed out, and what it answers."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._out = -1
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def load(self, mark: bytes, name: str, source: bytes) -> None:
        """Load the solution; it becomes number 0."""
        self._out = take_output()

        def loaded() -> "tuple[Any, ...]":
            self._number(load(name, source))
            return "returned", None, []

        self._answer(mark, loaded)

    def serve(self, mark: bytes, request: bytes) -> None:
        """Do one thing, and say after the mark what came of it."""

        def served() -> "tuple[Any, ...]":
            operation, target, args, kwargs = decode(request, build=self._known)
            before = containers(args) + containers(kwargs)
            value = _OPERATIONS[operation](target, *args, **kwargs)
            return "returned", value, contents(before)

        self._answer(mark, served)

    def _known(self, said: "Any") -> "Any":
        """Return what a test means by a number, or by a name of the standard library."""
        if type(said) is int:
            return self._objects[said]
        module, name = said
        return getattr(importlib.import_module(module), name)

    def _answer(self, mark: bytes, work: "Callable[[], tuple[Any, ...]]") -> None:
        try:
            data = self._spelled(work())
        except BaseException as error:
            data = self._failed(error)
        send(self._out, mark + data)

    def _failed(self, error: BaseException) -> bytes:
        said = said_by(error)
        number = self._number(error)
        for args in (error.args, (said,)):
            try:
                kind = self._described(type(error))
                return self._spelled(("raised", kind, args, said, number))
            except BaseException:  # its arguments are large, or lie
                pass
        return self._spelled(("raised", ("Exception",), (said,), said, number))

    def _spelled(self, value: object) -> bytes:
        return encode(value, most_bytes=self._most_bytes, spell=self._spell)

    def _spell(self, value: object) -> "tuple[Any, ...]":
        if type(value) is Same:
            return "same", value.place
        if issubclass(type(value), type):
            return "class", self._described(value)
        return "object", self._number(value), self._described(type(value))

    def _described(self, kind: "Any") -> "tuple[Any, ...]":
        """Say what a class is: one of Python's own by its name, others with their bases."""
        name = name_of(kind)
        if getattr(builtins, name, None) is kind:
            return (name,)
        bases = tuple(self._described(base) for base in kind.__bases__)
        return name, module_of(kind), self._number(kind), bases

    def _number(self, value: object) -> int:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)  # kept, so that its id stays its own
        return number


def _call(target: "Any", *args: "Any", **kwargs: "Any") -> "Any":
    return target(*args, **kwargs)


def _exit(target: "Any", kind: "Any" = None, args: "tuple[Any, ...]" = ()) -> "Any":
    """Leave a context, by an exception that is here, or by one of a class."""
    if kind is None:
        return type(target).__exit__(target, None, None, None)
    error = kind if isinstance(kind, BaseException) else kind.__new__(kind, *args)
    return bool(type(target).__exit__(target, type(error), error, None))


_BUILTIN = (
    *("getattr", "setattr", "delattr", "iter", "next", "len", "bool", "int", "float", "complex"),
    *("str", "repr", "bytes", "abs", "round", "divmod", "pow", "reversed", "format"),
)
_OPERATIONS: "dict[str, Callable[..., Any]]" = {
    **{name: each for name, each in vars(_operator).items() if not name.startswith("_")},
    **{name: vars(builtins)[name] for name in _BUILTIN},
    "call": _call,
    "enter": lambda target: type(target).__enter__(target),
    "exit": _exit,
}
