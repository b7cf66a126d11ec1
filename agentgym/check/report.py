"""What a check found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol


class Status(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check and how it came out."""

    number: int
    name: str
    promise: str
    """What the environment has to keep."""
    status: Status
    message: str = ""
    where: str | None = None
    """`file:line` of what failed."""
    hint: str | None = None
    """How to mend it."""


class _Checked(Protocol):
    @property
    def status(self) -> Status: ...


class Counted:
    """What checks found, counted by how they came out."""

    __slots__ = ()

    results: Sequence[_Checked]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self.count(Status.FAILED) == 0

    @property
    def is_complete(self) -> bool:
        """Whether everything was checked, and passed."""
        return self.count(Status.PASSED) == len(self.results)

    def count(self, status: Status) -> int:
        """Return how many checks came out like this."""
        return sum(result.status is status for result in self.results)


@dataclass(frozen=True, slots=True)
class Report(Counted):
    """All checks of one environment."""

    env: str
    results: tuple[Result, ...]

    def __str__(self) -> str:
        """Tell what did not pass, one line and its hint each."""
        lines = [f"{self.env}: {self.count(Status.PASSED)} of {len(self.results)} checks passed"]
        for each in self.results:
            if each.status is not Status.PASSED:
                place = f"{each.where}: " if each.where else ""
                status = each.status.replace("_", " ")
                lines.append(f"{status}  {each.number} {each.name}: {place}{each.message}")
                lines += [f"    hint: {each.hint}"] if each.hint else []
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "env": self.env,
            "ok": self.ok,
            **{status.value: self.count(status) for status in Status},
            "checks": [asdict(result) for result in self.results],
        }


class Failed(Exception):  # noqa: N818  a finding, not an error of ours
    """Raised by a check: the promise is broken."""

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.where = where


class NotChecked(Exception):  # noqa: N818
    """Raised by a check that cannot say anything here."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
