"""When a request may begin, and how long to wait before it is tried again."""

import asyncio
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_BASE_S = 0.5
_MOST_S = 30.0  # one wait, where the server asks for none


class Pace:
    """Lets requests begin at even distances, and none during a pause."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._free_at = 0.0
        self._line = asyncio.Lock()

    async def turn(self, begin: Callable[[], None] = lambda: None) -> None:
        """Wait until the next request may begin, and call `begin`; who came first goes first.

        Where `begin` raises, no request begins, and the next one need not keep a distance to it.
        """
        async with self._line:
            # Again and again: a pause may begin while this one waits.
            while (wait_s := self._free_at - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait_s)
            begin()
            self._free_at = time.monotonic() + self._gap_s

    def pause(self, seconds: float) -> None:
        """Let nothing begin for a while: the server said so to one, and means all."""
        self._free_at = max(self._free_at, time.monotonic() + seconds)


def wait_before(attempt: int, *, asked_s: float, chance: random.Random) -> float:
    """Return the seconds to wait before an attempt, the second being 2.

    Full jitter: between nothing and a bound that doubles. Where the server asks for a wait, that
    comes on top, so that nobody is early and not all are on time.
    Source: M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
    """
    return asked_s + chance.uniform(0, min(_MOST_S, _BASE_S * 2 ** min(attempt - 2, 10)))


def retry_after(value: str | None) -> float:
    """Return the seconds that a `Retry-After` asks for, a number or a date; 0 for anything else.

    >>> retry_after("2"), retry_after("1.5"), retry_after("-3"), retry_after("soon"), retry_after(None)
    (2.0, 1.5, 0.0, 0.0, 0.0)
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
