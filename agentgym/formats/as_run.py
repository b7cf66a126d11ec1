"""A foreign file as a run directory, on which every other command works."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from agentgym.errors import StoreError
from agentgym.formats.imported import Imported
from agentgym.store.episodes import IMPORTER, EpisodeWriter
from agentgym.store.frames import skipping
from agentgym.store.run import Run

_CONFIG = "# Imported; the program that made these episodes had a configuration of its own.\n"


def import_run(
    imported: Imported,
    path: str | Path,
    *,
    command: Sequence[str] = (),
    clean: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the episodes of a file into a new run directory; return how many.

    What they lack stands in run.json under `imported`, with the file and its format. An episode
    that cannot be stored goes to the `on_broken` of `imported`.

    Raises:
        ConfigError: there is something at `path` already.
        StoreError: the file has no episode, is broken, or the run cannot be written.
    """
    written = 0
    envs: Counter[str] = Counter()
    with Run.create(path, config_text=_CONFIG, command=command, seed=0, clean=clean) as run:
        try:
            with EpisodeWriter(run.root, writer=IMPORTER) as writer:
                for trajectory in imported:
                    with skipping(imported.on_broken):
                        writer.append(trajectory)
                        envs[trajectory.task.env] += 1
                        written += 1
                        if progress is not None:
                            progress(written)
            if not written:
                raise StoreError(f"{imported.path} has no episode that can be read")
        except BaseException:
            run.discard()
            raise
        about = {"file": str(imported.path), "format": imported.format, "told": imported.told}
        env = next(iter(envs)) if len(envs) == 1 else None
        run.update(status="finished", kind="import", env=env or None, imported=about)
    return written
