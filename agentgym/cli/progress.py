"""Progress: drawn in place on a terminal, one plain line per step elsewhere."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, TextIO

from agentgym.cli.output import note, sparkline

if TYPE_CHECKING:
    from rich.live import Live

_SHOWN = ("success", "reward", "turns", "policy_loss", "entropy", "grad_norm", "tokens_per_second")
_EVERY_S = 10.0  # between the plain lines of a phase


class Screen:
    """Lines that are drawn over each other, where the stream is a terminal."""

    def __init__(self, stream: TextIO, *, show: bool = True, keep: bool = False) -> None:
        """With `keep` the last drawing stays."""
        self._live: Live | None = None
        self._said = 0.0
        if show and stream.isatty() and os.environ.get("TERM") != "dumb":
            from rich import console, live

            self._live = live.Live(
                console=console.Console(file=stream), transient=not keep, refresh_per_second=8
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        self._said = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def is_live(self) -> bool:
        """Whether something is drawn."""
        return self._live is not None

    def draw(self, *lines: str) -> None:
        """Replace what is drawn."""
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

    def is_time_to_say(self) -> bool:
        """Whether a plain line is due, so that a log tells of life and does not fill."""
        now = time.monotonic()
        if self.is_live or now - self._said < _EVERY_S:
            return False
        self._said = now
        return True


class EpisodeCounter(Screen):
    """How many episodes are done, on stderr."""

    def __init__(self, total: int, *, show: bool = True) -> None:
        super().__init__(sys.stderr, show=show)
        self._total, self._done, self._show = total, 0, show
        self._started = time.monotonic()

    def advance(self, _: object = None) -> None:
        """Count one more."""
        self._done += 1
        rate = self._done / max(1e-9, time.monotonic() - self._started)
        line = f"episodes {self._done}/{self._total}  {rate:.1f}/s"
        self.draw(line)
        if self._show and self.is_time_to_say():
            note(line)


class TrainingProgress(Screen):
    """What a training does: a line per phase, the last step, the curve of success.

    Goes to stdout, or with `aside` to stderr.
    """

    def __init__(self, *, aside: bool = False, successes: Sequence[float] = ()) -> None:
        """`successes` are those of the steps before, where a run is resumed."""
        self._stream = sys.stderr if aside else sys.stdout
        super().__init__(self._stream, show=not aside, keep=True)
        self._successes = list(successes)
        self._phases: dict[str, str] = {}
        self._step = ""

    def on_phase(self, name: str, done: int, total: int) -> None:
        """Take note of how far a phase is."""
        self._phases[name] = f"{name:<10} {done}/{total}"
        if self.is_time_to_say():
            self._write(f"  {name} {done}/{total}")
        self._draw()

    def on_step(self, step: int, total: int, scalars: Mapping[str, float]) -> None:
        """Take note of a step that was done."""
        self._step = step_line(step, total, scalars)
        if "success" in scalars:
            self._successes.append(scalars["success"])
        self._phases.clear()
        if self.is_live:
            self._draw()
        else:
            self._write(self._step)

    def _draw(self) -> None:
        curve = [f"success    {sparkline(self._successes)}"] if self._successes else []
        self.draw(*([self._step] if self._step else []), *curve, *self._phases.values())

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def step_line(step: int, total: int, scalars: Mapping[str, float]) -> str:
    """Write the scalars worth a glance on one line.

    >>> step_line(3, 10, {"success": 0.5, "policy_loss": -0.01234, "terms/x": 1.0})
    'step 3/10  success 0.5  policy_loss -0.0123'
    """
    parts = [f"{name} {scalars[name]:.3g}" for name in _SHOWN if name in scalars]
    return "  ".join([f"step {step}/{total}", *parts])
