"""Ctrl-C of a person who plays: it ends the episode, and what was played is kept."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class CtrlC:
    """Ctrl-C while it is held: remembered the first time, and handed on the second time.

    So a turn that the environment is in ends first. Where Ctrl-C is ignored it stays ignored.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def hold(self) -> None:
        """Begin; what would have heard of Ctrl-C until now hears of the second one."""
        before = signal.getsignal(signal.SIGINT)
        if self._before is None and before is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._remember)

    def release(self) -> None:
        """End; once is enough."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if not self.pressed:
            self.pressed = True
            os.write(2, b"\nleaving after this turn; Ctrl-C again drops the episode\n")
            return
        before = self._before
        self.release()
        if callable(before):
            before(number, frame)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise KeyboardInterrupt meanwhile: who is asked, and not yet heard, leaves at once."""
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        except KeyboardInterrupt:
            self.pressed = True
            raise
        finally:
            signal.signal(signal.SIGINT, before)
