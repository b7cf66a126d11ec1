"""What an address names, looked up: a run, an episode, a group; or an answer that it is not there."""

from agentgym.store.frames import Head
from agentgym.viewer.routes import Asked, NotFoundError
from agentgym.viewer.runs import OpenRun, OpenRuns


def find_run(runs: OpenRuns, name: str) -> OpenRun:
    """Return a run by its name.

    Raises:
        NotFoundError: none is called this.
    """
    run = runs.get(name)
    if run is None:
        known = ", ".join(each.name for each in runs)
        raise NotFoundError(f"no run is called {name[:80]!r}", hint=f"there are: {known}")
    return run


def run_of(runs: OpenRuns, asked: Asked) -> OpenRun:
    """Return the run in an address.

    Raises:
        NotFoundError: none is called this.
    """
    return find_run(runs, asked.names["run"])


def find_episode(run: OpenRun, name: str) -> Head:
    """Return where an episode stands.

    Raises:
        NotFoundError: there is none of this id.
    """
    head = run.index.head(name)
    if head is None:
        raise missing(run, f"no episode {name[:80]!r}")
    return head


def missing(run: OpenRun, what: str) -> NotFoundError:
    """Return the error for what a run lacks, or does not have in its index so far."""
    progress, hint = run.index.progress, None
    if progress.bytes < progress.of_bytes:
        hint = f"{progress.episodes} episodes are in the index so far; try again soon"
    return NotFoundError(f"{what} in {run.name}", hint=hint)
