"""A process that scores what may take for ever, and is killed when it does."""

import atexit
import os
import pickle
import resource
import select
import subprocess
import sys
import threading
from contextlib import redirect_stdout, suppress
from functools import lru_cache
from typing import Any

from agentgym.envs.reasoning_gym.questions import Source, dataset
from agentgym.errors import EnvError

_START_S = 60.0  # a busy machine imports sympy slowly
_LIMIT_S = 5.0  # sixteen such at the same time end before a step's deadline
_MEMORY_BYTES = 4 << 30


class TookTooLong(Exception):  # noqa: N818  an answer to the question, no fault
    """Raised when a score was not there in time."""


class Worker:
    """Starts the process when it is first needed, and again after it was killed."""

    def __init__(self, *, limit_s: float = _LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def score(self, source: Source, answer: str, item: dict[str, Any]) -> float:
        """Score the answer to one question.

        Raises:
            EnvError: the process cannot be started.
            TookTooLong: it was killed.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump((source, answer, item), process.stdin)
                process.stdin.flush()
                line = _line(process, self._limit_s)
            except BrokenPipeError:
                line = b""
            if not line:  # too slow, or it died of its memory limit
                self._kill()
                raise TookTooLong
            return float(line)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                (sys.executable, "-c", f"from {__name__} import main; main()"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            if _line(self._process, _START_S) != b"ready\n":
                self._kill()
                raise EnvError("the process that scores formulas does not start")
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def worker() -> Worker:
    """Return the one of this process."""
    return _worker(os.getpid())


@lru_cache(maxsize=1)
def _worker(process: int) -> Worker:
    return Worker()


def _line(process: "subprocess.Popen[bytes]", limit_s: float) -> bytes:
    """Return the next line; nothing where it takes longer, or the process has ended."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], limit_s)
    return process.stdout.readline() if ready else b""


def main() -> None:
    """Answer (source, answer, item) with a score, one after the other, until the input ends."""
    from agentgym.envs.reasoning_gym.judging import score

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    answers = sys.stdout
    import reasoning_gym  # noqa: F401  before the clock runs

    print("ready", file=answers, flush=True)
    with suppress(EOFError):
        while True:
            source, answer, item = pickle.load(sys.stdin.buffer)
            with redirect_stdout(sys.stderr):
                value = score(dataset(source), answer, item)
            print(value, file=answers, flush=True)
