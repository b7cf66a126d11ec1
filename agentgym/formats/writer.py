"""What a writer of a format is."""

import json
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from agentgym.types import Trajectory

_SURROGATE = re.compile("[\ud800-\udfff]")
# Python's splitlines ends a line here, and so do readers of JSON lines that use it.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


class Writer(ABC):
    """Writes episodes into a file, one after another, and `finish` after the last.

    A writer of which `folder` is true is given the path of an empty folder instead of a file.
    """

    folder: ClassVar[bool] = False
    with_faults: ClassVar[bool] = True
    """Whether episodes that ended by a fault are written, too."""

    @abstractmethod
    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode, or return why it has to be left out."""

    def finish(self) -> None:
        """Write what comes after all episodes."""

    @property
    def told(self) -> str:
        """What else there is to say of what was written, once it is finished."""
        return ""


def to_line(value: dict[str, Any]) -> bytes:
    """Return an object as one line of valid UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _LINE_ENDS.sub(lambda match: f"\\u{ord(match[0]):04x}", valid(text)).encode() + b"\n"


def valid(text: str) -> str:
    """Return text that UTF-8 can hold: half characters become U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
