"""`agentgym import`: episodes of other programs, as a run."""

from typing import Annotated, Any

import typer

from agentgym.cli.opened import counting, told_of
from agentgym.cli.options import Json
from agentgym.cli.output import counted, echo, echo_json, note, safe


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Episodes of another program.")],
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run directory to make.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at what is broken instead of leaving it out.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete a run that is there already.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a run of episodes that another program recorded.

    Read are ATIF, inspect logs (.eval, .json), verifiers and prime-rl traces, SWE-agent .traj and
    OpenAI messages, plain or compressed by zstd or gzip, known by their content. What is not in
    the file is not made up: it is counted and told.

    JSON: {run, format, how, episodes, told: {WHAT: count}, broken}
    """
    from agentgym.formats import import_run, read_any

    broken: list[str] = []

    def leave_out(error: Any) -> None:
        broken.append(str(error))
        note(f"warning: {safe(str(error))}")

    imported = read_any(file, on_broken=None if strict else leave_out)
    command = ["agentgym", "import", file, run]
    with counting() as count:
        written = import_run(imported, run, command=command, clean=clean, progress=count)
    if json:
        echo_json(
            {
                "run": run,
                "format": imported.format,
                "how": imported.how,
                "episodes": written,
                "told": imported.told,
                "broken": len(broken),
            }
        )
        return
    rest = told_of(imported, broken=len(broken))
    how = safe(imported.how)
    echo(f"{counted(written, 'episode')} of {imported.format} ({how}) in {run}{rest}")
