"""What tests can pass to a solution beside plain data, and by what it is known there."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NUMBER = "_number_in_the_solution"
_PACKAGE = __name__.rpartition(".")[0]
_STANDARD = getattr(sys, "stdlib_module_names", ("builtins",))  # no list before Python 3.10


class Foreign(Exception):  # noqa: N818
    """Raised when what the tests would pass is of theirs alone."""


def number_of(value: "Any") -> "int | None":
    """Return the number of what the solution gave, None for anything else."""
    held = vars(value) if isinstance(value, type) else getattr(value, "__dict__", {})
    return held.get(NUMBER)


_FUNCTIONS = (type(len), type(number_of))


def spell(value: "Any") -> object:
    """Return the number of what the solution gave, or the name of what every Python has.

    Raises:
        Foreign: it is of the tests alone, whatever the solution gave them.
        ValueError: it is something else that cannot cross.
    """
    number = number_of(value)
    if number is not None:
        return number
    kind = type(value)
    if isinstance(value, type) or kind in _FUNCTIONS:
        module, name = value.__module__, value.__name__
        if type(module) is str and standard(module, name) is value:
            return module, name
    owner = value if isinstance(value, type) else kind
    is_pythons = owner.__module__ == "builtins" and kind is not _FUNCTIONS[1]
    if is_pythons or owner.__module__.startswith(_PACKAGE):
        raise ValueError(f"a value of type {kind.__name__}")
    raise Foreign(f"a value of type {kind.__name__}")


def standard(module: str, name: str) -> "Any":
    """Return what a module of the standard library that is loaded has by a name."""
    if module.partition(".")[0] not in _STANDARD or module not in sys.modules:
        return None
    return vars(sys.modules[module]).get(name)
