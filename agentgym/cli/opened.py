"""What a command is to look at: a run, or a file of another program as a run for the time being."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agentgym.cli.output import counted, note, safe
from agentgym.errors import AgentGymError

if TYPE_CHECKING:
    from agentgym.errors import StoreError
    from agentgym.formats import Imported

_EVERY = 100  # episodes between two looks at the clock


@contextmanager
def as_run(path: str) -> Iterator[str]:
    """Yield where the run is that `path` means; one that is made of a file is gone afterwards.

    Raises:
        ConfigError: it is a file of no format that is known.
        StoreError: there is no episode in it.
    """
    if not Path(path).is_file():
        yield path
        return
    with TemporaryDirectory(prefix="agentgym-") as folder:
        run = Path(folder) / (Path(path).name.partition(".")[0] or "file")
        try:
            _import(path, run)
        except AgentGymError as error:
            error.hint = error.hint or "no run, and no format that is known: docs/formats.md"
            raise
        yield str(run)


def told_of(imported: "Imported", *, broken: int = 0) -> str:
    """Return what the episodes of a file lack, in words, each behind a semicolon."""
    told = Counter(imported.told) + Counter({"broken and left out": broken})
    return "".join(f"; {count} {safe(what)}" for what, count in told.most_common() if count)


@contextmanager
def counting() -> Iterator[Callable[[int], None]]:
    """Yield what tells on stderr how many episodes were read, now and then."""
    from agentgym.cli.progress import Screen

    with Screen(sys.stderr) as screen:

        def tell(count: int) -> None:
            if count % _EVERY == 0:
                screen.draw(f"{count} episodes read")
                if screen.is_time_to_say():
                    note(f"{count} episodes read")

        yield tell


def _import(file: str, run: Path) -> None:
    from agentgym.formats import import_run, read_any

    broken = 0

    def leave_out(error: "StoreError") -> None:
        nonlocal broken
        broken += 1
        note(f"warning: {safe(str(error))}")

    imported = read_any(file, on_broken=leave_out)
    with counting() as progress:
        count = import_run(imported, run, command=["agentgym", "import", file], progress=progress)
    told = told_of(imported, broken=broken)
    note(f"{counted(count, 'episode')} of {imported.format} ({safe(imported.how)}){told}")
