"""Where things are in the source: `file:line` for people."""

import inspect
import sys
import traceback
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=64)
def place_of(thing: type) -> str | None:
    """Return where a class is defined: file and line, or the file, or None."""
    file = file_of(thing)
    line = thing.__dict__.get("__firstlineno__")  # of a class that a decorator made, too
    if line is not None:
        return f"{file}:{line}"
    try:
        return f"{file}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return str(file) if file else None


def place_of_error(error: BaseException, folder: Path | None) -> str | None:
    """Return the innermost line of `folder` that an error came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder is not None and Path(frame.filename).is_relative_to(folder):
            return f"{frame.filename}:{frame.lineno}"
    return place_of_error(error.__cause__, folder) if error.__cause__ else None


def file_of(thing: type) -> Path | None:
    """Return the file of the module in which a class is defined."""
    name = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return Path(name) if name else None
