"""JSON that survives a round trip, and the schema names that files begin with."""

import json
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic_core

from agentgym.errors import StoreError

_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_strict = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: Any, *, what: str = "record") -> bytes:
    """Encode as one line without its end; any text survives, lone surrogates too.

    Raises:
        StoreError: a number is not finite, or a value has no place in JSON; it is named.
    """
    try:
        text = _strict(value)
    except (TypeError, ValueError, RecursionError) as error:
        culprit = None
        with suppress(RecursionError):
            culprit = _culprit(value)
        raise StoreError(
            f"{what} cannot be stored: {culprit or error}",
            hint="tasks, rewards and notes hold JSON values with finite numbers only",
        ) from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate becomes its JSON escape. Two code points that look like a pair would
        # then be read as one character, so they are kept as raw bytes.
        return text.encode(
            "utf-8", "surrogatepass" if _SPLIT_PAIR.search(text) else "backslashreplace"
        )


def quick_json(value: Any) -> bytes | None:
    """Encode values of known types as one line, five times as fast; None: `to_json` must.

    What has no place in JSON is not always refused: a set is written as a list.
    """
    try:
        line = pydantic_core.to_json(value, inf_nan_mode="constants")
    except ValueError:  # a lone surrogate, or what cannot be stored
        return None
    # Perhaps it is but a text. To look for single bytes first takes a tenth of the time.
    if (b"N" in line and b"NaN" in line) or (b"I" in line and b"Infinity" in line):
        return None
    return line


def is_plain(value: Any) -> bool:
    """Return whether values are of the types that JSON has, so that `quick_json` is as strict.

    What is too deep to be looked at is not.

    >>> is_plain({"a": [1, None]}), is_plain({"a": {1}}), is_plain({1: "a"})
    (True, False, False)
    """
    if value is None or isinstance(value, (str, int, float)):
        return True
    try:
        if isinstance(value, dict):
            return all(isinstance(key, str) and is_plain(each) for key, each in value.items())
        return isinstance(value, (list, tuple)) and all(map(is_plain, value))
    except RecursionError:
        return False


def from_json(line: bytes) -> Any:
    """Decode what `to_json` wrote.

    Raises:
        ValueError: this is not JSON.
    """
    return json.loads(line.decode("utf-8", "surrogatepass"))


def check_schema(found: Any, expected: str, *, path: Path) -> None:
    """Accept `expected` ("name/major") with any minor version ("name/major.minor").

    Raises:
        StoreError: the file is something else, or of another major version.
    """
    name, _, version = str(found).partition("/")
    expected_name, _, expected_major = expected.partition("/")
    major = version.partition(".")[0]
    if name != expected_name or not major.isdecimal():
        raise StoreError(f"{path} is not {expected_name} but {found!r}")
    if major != expected_major:
        newer = int(major) > int(expected_major)
        raise StoreError(
            f"{path} has the schema {found}; this version reads {expected}",
            hint="upgrade agentgym-framework" if newer else "read it with the version it names",
        )


def _culprit(value: Any, where: str = "") -> str | None:
    if isinstance(value, dict):
        children = [(f"{where}.{key}".lstrip("."), child) for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{where}[{index}]", child) for index, child in enumerate(value)]
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}"
    elif value is None or isinstance(value, str | int | float):
        return None
    else:
        return f"{where} is of type {type(value).__name__}"
    found = (_culprit(child, place) for place, child in children)
    return next((culprit for culprit in found if culprit), None)
