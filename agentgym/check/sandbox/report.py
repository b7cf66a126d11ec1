"""What the rows found."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a row came out."""

    CONTAINED = "contained"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row on one backend."""

    name: str
    backend: str
    status: Status
    reason: str
    """What was seen, what failed, or what is missing here."""


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """All rows on one backend."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self.count(Status.FAILED) == 0

    @property
    def is_complete(self) -> bool:
        """Whether every row applied, and was contained."""
        return self.count(Status.CONTAINED) == len(self.findings)

    def count(self, status: Status) -> int:
        """Return how many rows came out like this."""
        return sum(finding.status is status for finding in self.findings)

    def to_json(self) -> list[dict[str, Any]]:
        """Return JSON values."""
        return [asdict(finding) for finding in self.findings]
