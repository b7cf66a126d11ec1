"""The time in the demo, which passes only when it is told to."""

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self._now = _START

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    def seconds(self) -> float:
        """Return the seconds since 1970."""
        return self._now.timestamp()
