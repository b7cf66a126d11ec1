"""Long text on a terminal: by a pager, or turn by turn with keys."""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from agentgym.cli.output import echo, is_terminal, note, paint
from agentgym.errors import ConfigError

_NEXT, _BEFORE, _QUIT = ("j", "n", " ", "\r", "\n"), ("k", "p"), ("q", "\x03", "\x04", "")
_CLEAR = "\x1b[H\x1b[2J"


class _Held(io.StringIO):
    """What is printed, kept; it says that it is a terminal, so that it is coloured as for one."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """Show what is printed inside by `$PAGER`, if it is longer than the terminal; never in a pipe.

    An error inside is raised after what was printed before it; Ctrl-C at once.
    """
    if not (is_terminal() and sys.stdin.isatty()):
        yield
        return
    held = _Held()
    try:
        with redirect_stdout(held):
            yield
    except Exception:
        _show(held.getvalue())
        raise
    _show(held.getvalue())


def _show(text: str) -> None:
    is_long = text.count("\n") >= shutil.get_terminal_size().lines
    if not (is_long and _was_paged(text)):
        sys.stdout.write(text)
        sys.stdout.flush()


def _was_paged(text: str) -> bool:
    """Have `$PAGER` show a text; return whether there is such a program."""
    shown = os.environ | {"LESS": os.environ.get("LESS", "FRX")}
    try:
        command = shlex.split(os.environ.get("PAGER", "less"))
        if not command:
            return False
        with _ctrl_c_is_of_others():
            data = text.encode(errors="backslashreplace")
            subprocess.run(command, input=data, env=shown, check=False)
    except (OSError, ValueError) as error:
        if "PAGER" in os.environ:
            note(f"warning: $PAGER cannot be run: {error}")
        return False
    return True


@contextmanager
def _ctrl_c_is_of_others() -> Iterator[None]:
    """Leave Ctrl-C to a program that has the terminal, so that it can leave it as it was."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def step_through(count: int, show: Callable[[int], None], *, first: int = 0) -> None:
    """Show one of `count` screens after the other, as keys say; q ends it.

    Raises:
        ConfigError: nobody is at a terminal.
    """
    if not (is_terminal() and sys.stdin.isatty()):
        raise ConfigError("steps are shown on a terminal only", hint="--turn N prints one turn")
    at = max(0, min(first, count - 1))
    with _key_by_key():
        while count:
            sys.stdout.write(_CLEAR)
            show(at)
            keys = "Enter next, k before, g first, G last, q quit"
            echo(paint(f"\n{at} of 0 to {count - 1}   {keys}", "dim"))
            key = os.read(sys.stdin.fileno(), 1).decode(errors="replace")
            if key in _QUIT or (key in _NEXT and at == count - 1):
                return
            at = {"g": 0, "G": count - 1}.get(key, at)
            at += (key in _NEXT) - (key in _BEFORE and at > 0)


@contextmanager
def _key_by_key() -> Iterator[None]:
    """Have the terminal hand on every key at once, without showing it."""
    import termios
    import tty

    device = sys.stdin.fileno()
    before = termios.tcgetattr(device)
    try:
        tty.setcbreak(device, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(device, termios.TCSADRAIN, before)
