"""What untrusted code runs in: its module, a way to answer past it, and its errors in words."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_SAID = 1000


def take_output() -> int:
    """Keep stdout for answers; what is printed from now on goes nowhere."""
    kept = os.dup(1)
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return kept


def send(fd: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(fd, data) :]


def load(name: str, source: bytes) -> "Any":
    """Run source as a module that can be imported by its name.

    Raises:
        BaseException: whatever it raises.
    """
    module: Any = type(sys)(name)
    module.__file__ = f"/box/{name}.py"
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def name_of(kind: type) -> str:
    """Return the name of a class, which may say anything of itself."""
    return _told_by(kind, "__name__") or "object"


def module_of(kind: type) -> str:
    """Return the name of the module that a class says it is of."""
    return _told_by(kind, "__module__")


def _told_by(kind: type, what: str) -> str:
    try:
        text = type.__dict__[what].__get__(kind)
        return text if type(text) is str else ""
    except BaseException:
        return ""


def said_by(error: BaseException) -> str:
    """Return the text of an exception, cut."""
    try:
        text = str(error)[:_MOST_SAID]
        return text if type(text) is str else ""
    except BaseException:
        return ""
