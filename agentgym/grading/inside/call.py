"""Calls one function once, in a process of its own, and answers with what it did."""

import os

from agentgym.grading.inside.plain import NotPlain, decode, encode
from agentgym.grading.inside.program import load, name_of, said_by, send, take_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def answer(
    mark: bytes,
    *,
    name: str,
    source: bytes,
    function: str,
    inputs: bytes,
    most_bytes: int,
) -> "NoReturn":
    """Load the program, call its function, say what became of it after the mark, and end."""
    out = take_output()
    args, kwargs = decode(inputs)
    said = _call(name, source, function, args, kwargs)
    send(out, mark + _spelled(said, args, most_bytes))
    os._exit(0)


def _spelled(said: "tuple[Any, ...]", args: "tuple[Any, ...]", most_bytes: int) -> bytes:
    """Return it as bytes, with the arguments as they are now where they can be told."""
    if said[0] == "returned":
        try:
            return encode((*said, args), most_bytes=most_bytes)
        except BaseException:
            pass
    try:
        return encode(said, most_bytes=most_bytes)
    except BaseException as error:
        why = str(error) if type(error) is NotPlain else "that cannot be spelled"
        return encode(("opaque", why), most_bytes=most_bytes)


def _call(
    name: str, source: bytes, function: str, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> "tuple[Any, ...]":
    try:
        called = getattr(load(name, source), function, None)
    except BaseException as error:
        return "unloadable", name_of(type(error)), said_by(error)
    if called is None:
        return ("missing",)
    try:
        return "returned", called(*args, **kwargs)
    except BaseException as error:
        return "raised", name_of(type(error)), said_by(error)
