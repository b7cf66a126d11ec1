"""`agentgym export --html`: a group or an episode as one HTML file, made without a server."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from agentgym.cli.outfile import check_output, output_file
from agentgym.cli.output import counted, note
from agentgym.errors import ConfigError
from agentgym.web.packages import needs_web


def export_html(
    run: str,
    *,
    group: str | None,
    episodes: Sequence[str],
    credits: Sequence[str],
    out: str,
    force: bool,
) -> None:
    """Write the pages of one group or episode, with what these estimators made of it.

    Raises:
        ConfigError: both are named, or none; there is no such estimator, or the file would be too
            large.
        MissingError: the packages of the viewer are not installed.
        NotFoundError, StoreError: there is no such group or episode.
    """
    if len(episodes) + (group is not None) != 1:
        hint = f"agentgym export {run} --html --group GROUP, or --episode EPISODE"
        raise ConfigError("--html takes one group or one episode", hint=hint)
    check_output(out, force=force)
    from agentgym.store.run import Run

    with needs_web("the viewer", extra="view"), TemporaryDirectory(prefix="agentgym-") as cache:
        from agentgym.viewer.app import make_sharing
        from agentgym.viewer.runs import OpenRuns

        runs = OpenRuns([Run.open(run).root], cache=Path(cache))
        try:
            runs.read_all()
            page = make_sharing(runs).make(
                next(iter(runs)),
                group=group or "",
                episode=_found(run, episodes),
                credit=",".join(credits),
            )
        finally:
            runs.close()
    with output_file(out, force=force) as file:
        file.write(page)
    what = f"group {group}" if group else counted(len(episodes), "episode")
    note(f"{what} written to {'stdout' if out == '-' else out}: {len(page) / 1e6:.1f} MB")


def _found(run: str, episodes: Sequence[str]) -> str:
    from agentgym.store.episodes import find_episode

    return find_episode(run, episodes[0]).id if episodes else ""
