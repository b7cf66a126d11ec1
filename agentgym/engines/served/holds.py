"""Who wants the engines to pause or to sleep. Each wish ends by itself unless it is renewed.

So a client that vanishes while it holds the engines holds them for no longer than its lease.
"""

import time
from enum import IntEnum


class Mode(IntEnum):
    """What the engines are to do; of several wishes the largest holds."""

    RUNNING = 0
    PAUSED = 1
    ASLEEP = 2


class Holds:
    """Leases by holder and mode."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, Mode], float] = {}

    @property
    def mode(self) -> Mode:
        """What the engines are to do now."""
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return max((mode for _, mode in self._until), default=Mode.RUNNING)

    def hold(self, holder: str, mode: Mode, lease_s: float) -> None:
        """Begin a hold, or renew it."""
        self._until[holder, mode] = time.monotonic() + lease_s

    def release(self, holder: str, mode: Mode) -> None:
        """End a hold; one that is not there is as good."""
        self._until.pop((holder, mode), None)
