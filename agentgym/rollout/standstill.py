"""Finds out when the event loop stands still, and in whose code.

One environment that computes, sleeps or reads a socket inside the loop stops every other episode,
and no deadline can end it. It cannot be interrupted, but it can be named.
"""

import asyncio
import logging
import sys
import threading
import time
from types import FrameType
from typing import NamedTuple, Self

from agentgym.env import Env

logger = logging.getLogger(__name__)

_BEAT_S = 0.1
_LONG_S = 1.0  # what is shorter harms nobody


class Standstill:
    """Watches the loop that it is entered in, from a thread; it may be entered many times."""

    def __init__(self, *, long_s: float = _LONG_S) -> None:
        self.seconds = 0.0
        """How long the loop stood still, in all."""
        self._long_s = long_s
        self._entered = 0
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            self._loop = asyncio.get_running_loop()
            self._of_loop = threading.get_ident()
            self._over = threading.Event()
            self._beat()
            self._thread = threading.Thread(target=self._watch, name="standstill", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._over.set()
            self._next.cancel()
            self._thread.join()

    def _beat(self) -> None:
        self._seen = time.monotonic()
        self._next = self._loop.call_later(_BEAT_S, self._beat)

    # The thread

    def _watch(self) -> None:
        is_still, looked = False, time.monotonic()
        before: Place | None = None
        while not self._over.wait(_BEAT_S):
            now = time.monotonic()
            passed, looked = now - looked, now
            machine_stood = passed > self._long_s
            still_s = now - self._seen
            was_still, is_still = is_still, still_s >= self._long_s and not machine_stood
            place = None
            if is_still:
                self.seconds += passed if was_still else still_s
                place = in_environment(sys._current_frames().get(self._of_loop))
                # Thousands of quick calls in a row are no standstill of any one of them.
                if place and before and place.call is before.call:
                    self._tell(place)
            before = place

    def _tell(self, found: "Place") -> None:
        """Warn, once for each method; what is not of an environment is counted and no more.

        On a machine with too much to do the loop may come to nothing anywhere.
        """
        if found.method in self._told:
            return
        self._told.add(found.method)
        logger.warning(
            "all episodes stand still, for %.1f s so far, because of %s (%s): make it async, or an "
            "ordinary method without `inline = True`, which runs on a thread",
            self._long_s,
            found.method,
            found.line,
        )


class Place(NamedTuple):
    """Where an environment is."""

    method: str
    line: str
    """The innermost, which may be a library's."""
    call: FrameType
    """This call of the method, and no other."""


def in_environment(frame: FrameType | None) -> Place | None:
    """Return which method of an environment a stack is in; None: of no environment."""
    line = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Env):
            return Place(f"{type(owner).__name__}.{frame.f_code.co_name}", line, frame)
        frame = frame.f_back
    return None
