"""A command in a terminal of its own, as a person sees it."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_MOST_S = 60.0


class Terminal:
    """A command that believes that somebody types."""

    def __init__(self, folder: Path, *words: str, sigint: Any = signal.default_int_handler) -> None:
        """Children inherit that SIGINT is ignored, as it is where this runs in the background."""
        self.seen = ""
        """All that it wrote."""
        self._awaited = 0
        self._main, side = pty.openpty()
        before = signal.signal(signal.SIGINT, sigint)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agentgym", *words],
                cwd=folder,
                stdin=side,
                stdout=side,
                stderr=side,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
            os.close(side)

    def await_text(self, text: str) -> None:
        """Read on until this was written, behind what was awaited before."""
        deadline = time.monotonic() + _MOST_S
        while (at := self.seen.find(text, self._awaited)) < 0:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), self.seen
        self._awaited = at + len(text)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._main, text.encode())

    def ctrl_c(self) -> None:
        """Press it once."""
        os.killpg(self._process.pid, signal.SIGINT)

    def press_ctrl_c(self) -> int:
        """Again if need be: Python's `input` misses a signal between its prompt and its wait."""
        for _ in range(10):
            self.ctrl_c()
            if (code := self.wait(3.0)) is not None:
                return code
        raise AssertionError("ten times Ctrl-C did not end it")

    def wait(self, seconds: float = _MOST_S) -> int | None:
        """Return its exit code; None: it goes on."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._read():
            pass
        return self._process.poll() if time.monotonic() >= deadline else self._process.wait(seconds)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    def _read(self) -> bool:
        """Read what there is; False: it ended."""
        if select.select([self._main], [], [], 0.2)[0]:
            try:
                found = os.read(self._main, 4096)
            except OSError:  # its side is closed
                return False
            self.seen += found.decode(errors="replace")
            return bool(found)
        return True
