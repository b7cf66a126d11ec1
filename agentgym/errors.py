"""Every error the framework raises on purpose.

    AgentGymError                    exit code 1
    ├── ConfigError                  what a user wrote is wrong: a key, a name, a file          2
    ├── MissingError                 something this machine lacks: a package, a program        3
    ├── TaskError                    a task that an environment cannot take
    ├── EnvError                     environment code raised
    ├── PolicyError                  a policy could not answer
    ├── BudgetError                  no more may be spent; ends a run
    ├── EngineError                  an inference engine failed
    ├── DeadlineError                our own machinery took longer than its limit
    ├── SandboxError
    │   ├── SandboxUnavailable       the backend cannot start a sandbox here                   3
    │   ├── SandboxDied              this sandbox is gone
    │   └── SandboxProtocolError     this sandbox broke the framing; it is destroyed
    └── StoreError                   a run directory or an episode file is unusable

What the model did wrong is an observation; what our machinery did wrong is one of these.
"""

import functools
import logging
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class AgentGymError(Exception):
    """Base of every error here; `hint` says what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(AgentGymError):
    """Raised when a name, key, value or file given by the user is wrong."""

    exit_code = 2


class MissingError(AgentGymError):
    """Raised when a package, program or permission that is needed is not there."""

    exit_code = 3


class TaskError(AgentGymError):
    """Raised when an environment is given a task it cannot use."""


class EnvError(AgentGymError):
    """Raised when the code of an environment raised."""


class PolicyError(AgentGymError):
    """Raised when a policy cannot produce an answer."""


class BudgetError(AgentGymError):
    """Raised when no more may be spent: the user's limit is reached, or a provider's."""


class EngineError(AgentGymError):
    """Raised when an inference engine fails."""


class DeadlineError(AgentGymError):
    """Raised when machinery of ours (not the model's program) exceeds its time limit."""


class SandboxError(AgentGymError):
    """Base of all sandbox failures. Never shown to a model as output, never a reward."""


class SandboxUnavailable(SandboxError):  # noqa: N818  the condition is the name
    """Raised when a backend cannot start a sandbox on this machine."""

    exit_code = 3


class SandboxDied(SandboxError):  # noqa: N818
    """Raised when a sandbox ended under us."""


class SandboxProtocolError(SandboxError):
    """Raised when a reply from inside a sandbox breaks the framing."""


class StoreError(AgentGymError):
    """Raised when a run directory or an episode file cannot be written or read."""


class boundary:  # noqa: N801  reads as a statement
    """Attribute whatever escapes the block to `kind`; an error that is ours already passes.

    So does what stops a program from outside; SystemExit does not: code that is called by an
    episode must not end all the others.
    """

    __slots__ = ("_kind", "_what")  # not a generator: it takes a fifth of the time

    def __init__(self, kind: type[AgentGymError], what: str) -> None:
        self._kind, self._what = kind, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, AgentGymError):
            return
        if isinstance(error, Exception | SystemExit):
            raise attributed(error, self._kind, self._what) from error


def attributed(error: BaseException, kind: type[AgentGymError], what: str) -> AgentGymError:
    """Return an error that says what raised `error`, and where."""
    place = place_of(error)
    where = f" ({place})" if place else ""
    return kind(f"{what} raised {type(error).__name__}: {error}{where}")


def place_of(error: BaseException) -> str | None:
    """Return the file and line that raised: the innermost that is neither a library's nor ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    of_users = [each for each in frames if not each.filename.startswith(_not_of_users())]
    chosen = (of_users or frames)[-1:]
    return f"{chosen[0].filename}:{chosen[0].lineno}" if chosen else None


@functools.cache
def _not_of_users() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return paths["stdlib"], paths["purelib"], paths["platlib"], str(Path(__file__).parent), "<"


@contextmanager
def without_warnings(logger: str) -> Iterator[None]:
    """Leave out the warnings of a logger, where what they are of is told otherwise."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(logging.ERROR)
    try:
        yield
    finally:
        found.setLevel(level)
