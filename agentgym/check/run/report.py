"""What the checks of a run found."""

from dataclasses import asdict, dataclass, field
from typing import Any

from agentgym.check.report import Counted, Status


class Rounded(str):
    """A finding of numbers that differ no more than by rounding."""

    __slots__ = ()


@dataclass(kw_only=True)
class RunResult:
    """One check and how it came out."""

    number: int
    name: str
    promise: str
    caught: tuple[str, ...]
    status: Status = Status.NOT_CHECKED
    seen: int = 0
    """Episodes, optimiser steps or runs that were looked at."""
    broken: int = 0
    """How often the promise is broken."""
    rounded: int = 0
    """How often of these by no more than rounding."""
    message: str = ""
    """What breaks it, the first few; or why it is not checked."""
    hint: str | None = None


@dataclass(kw_only=True)
class RunReport(Counted):
    """All checks of one run."""

    run: str
    results: list[RunResult] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "run": self.run,
            "ok": self.ok,
            **{status.value: self.count(status) for status in Status},
            "checks": [asdict(result) for result in self.results],
        }
