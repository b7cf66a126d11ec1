"""All rows, in the order in which they are tried."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from agentgym.check.sandbox import (
    archives,
    cancelling,
    contract,
    engines,
    files,
    grader,
    kernel,
    lifecycle,
    memory,
    network,
    output,
    outside,
    pinning,
    processes,
    sessions,
    worker,
)
from agentgym.check.sandbox.row import Row
from agentgym.errors import ConfigError
from agentgym.loading import did_you_mean

ROWS: tuple[Row, ...] = (
    *contract.ROWS,
    *processes.ROWS,
    *memory.ROWS,
    *pinning.ROWS,
    *output.ROWS,
    *files.ROWS,
    *archives.ROWS,
    *worker.ROWS,
    *kernel.ROWS,
    *network.ROWS,
    *outside.ROWS,
    *sessions.ROWS,
    *grader.ROWS,
    *lifecycle.ROWS,
    *cancelling.ROWS,
    *engines.ROWS,
)


def matching(patterns: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows whose names match any of these patterns, as a shell has them.

    Raises:
        ConfigError: a pattern matches none.
    """
    known = [row.name for row in ROWS]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            close = did_you_mean(pattern, known)
            hint = f"did you mean {close!r}?" if close else "a pattern, as in 'fork_*'"
            raise ConfigError(f"no row is called {pattern!r}", hint=hint)
    return tuple(row for row in ROWS if any(fnmatchcase(row.name, each) for each in patterns))


def short() -> tuple[Row, ...]:
    """Return the rows that do not take minutes."""
    return tuple(row for row in ROWS if row.cost != "soak")
