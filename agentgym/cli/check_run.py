"""`agentgym check run`: is the record of a run what it should be?"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentgym.cli.output import echo, echo_json, note, one_line, paint
from agentgym.cli.progress import Screen
from agentgym.cli.strict import leave_unless_ok

if TYPE_CHECKING:
    from agentgym.check.run.report import RunReport, RunResult

_COLOURS = {"passed": "green", "failed": "red", "not_checked": "yellow"}


def check_run(words: Sequence[str], *, strict: bool, json: bool) -> None:
    """Check the record of one run, print what was found, and leave with 1 if anything failed.

    Raises:
        ConfigError: there is no such run.
        StoreError: it cannot be read at all.
    """
    from agentgym.check.run import check_run as look_at
    from agentgym.cli.recorded import unfinished
    from agentgym.errors import ConfigError
    from agentgym.store.run import Run

    if len(words) != 1:
        said = "name one run to check" if not words else f"{words[1]!r} has no effect on this check"
        raise ConfigError(said, hint="agentgym check run RUN")
    run = Run.open(words[0])
    if warning := unfinished(run):
        note(f"warning: {warning}")
    with Screen(sys.stderr) as screen:
        report = look_at(run, on_item=screen.draw)
    if json:
        echo_json(report.to_json())
    else:
        _print(report)
    leave_unless_ok(report, strict=strict)


def _print(report: "RunReport") -> None:
    for result in report.results:
        status = paint(result.status.replace("_", " ").ljust(11), _COLOURS[result.status])
        echo(f"{status} {result.number:>2}  {result.name:<10} {result.promise}")
        for line in _told(result):
            echo(f"{'':15} {line}")
    counts: dict[str, int] = {}
    for result in report.results:
        status_name = result.status.replace("_", " ")
        counts[status_name] = counts.get(status_name, 0) + 1
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    echo(f"{report.run}: {listed}")


def _told(result: "RunResult") -> list[str]:
    """Return the lines that say why a check did not pass, and what else has had this."""
    if result.status == "passed":
        return []
    lines = [one_line(result.message)]
    if result.hint:
        lines.append(f"hint: {one_line(result.hint)}")
    if result.status == "failed":
        lines.append(paint(f"of the kind of {', '.join(result.caught)}", "dim"))
    return lines
